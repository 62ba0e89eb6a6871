"""The headline table: each figure in its own row, each transport in its own column, and nothing smuggled in."""

from html.parser import HTMLParser
from types import SimpleNamespace

from wsdemo import table
from wsdemo.theory import Prediction, unforeseen
from wsdemo.updates import poisson


def run(label="Polling", factor=1, **changes):
    """Return a run whose every figure is another number, so that no two can be mistaken for each other."""
    predicted = Prediction(
        requests=1001 * factor,
        wasted=701.5 * factor,
        wasted_fraction=0.7004,
        wasted_fraction_poisson=0.6501,
        deliveries=81 * factor,
        latency_mean_s=0.5,
        held_connections=20 * factor,
        latency_p50_s=0.4 * factor,
        bytes_sent=5000.0 * factor,
        bytes_received=6000.0 * factor,
        opening_bytes_sent=410.0 * factor,
        opening_bytes_received=400.0 * factor,
        within={"latency_p50_s": 0.05, "bytes_sent": 150.0 * factor, "wasted": 3.0},
    )
    figures = {
        "label": label,
        "schedule": poisson(2.0),
        "clients": 20,
        "interval_s": 0.25,
        "duration_s": 8.0,
        "requests": 1002 * factor,
        "wasted": 702 * factor,
        "wasted_fraction": 0.7123,
        "published": 16,
        "deliveries": 82 * factor,
        "missed": 3 * factor,
        "duplicates": 4 * factor,
        "latency_mean_s": 0.111 * factor,
        "latency_percentile_s": lambda percent: percent / 100 * factor,
        "bytes_sent": 5005 * factor,
        "bytes_received": 6006 * factor,
        "bytes_per_delivery": 134.0 * factor,
        "flow_bytes_per_delivery": 124.0 * factor,
        "opening_bytes": 808 * factor,
        "held_connections": 19 * factor,
        "delay_s": 0.0002 * factor,
        "percentiles_known": (50, 95, 99) if factor == 1 else (50, 95),
        "connections": 21 * factor,
        "server_cpu_s": 0.077 * factor,
        "server_peak_rss_bytes": 30 * 2**20 * factor,
        "predicted": predicted,
        "line": None,
        "notes": (),
        "unknown": (),
    }
    return SimpleNamespace(**(figures | changes))


class Cells(HTMLParser):
    """The cells of a table's rows."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self._open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag):
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data):
        if self._open:
            self.rows[-1][-1] += data


EXPECTED = {
    "requests": ["1,002", "1,001", "2,004", "2,002"],
    "wasted requests": ["702", "702 ±3", "1,404", "1,403 ±3"],
    "wasted share": ["71.23%", "70.04%", "71.23%", "70.04%"],
    "… if Poisson": ["", "65.01%", "", "65.01%"],
    "mean latency": ["111 ms", "500 ms", "222 ms", "500 ms"],
    "p50 latency": ["500 ms", "400 ms ±50 ms", "1 s", "800 ms ±50 ms"],
    "p95 latency": ["950 ms", "–", "1.9 s", "–"],
    "p99 latency": ["990 ms", "–", "–", "–"],
    "floor d": ["0.2 ms", "", "0.4 ms", ""],
    "deliveries": ["82", "81", "164", "162"],
    "missed": ["3", "0", "6", "0"],
    "duplicates": ["4", "0", "8", "0"],
    "bytes to clients": ["5,005", "5,000 ±150", "10,010", "10,000 ±300"],
    "bytes from clients": ["6,006", "6,000", "12,012", "12,000"],
    "bytes of openings": ["808", "810", "1,616", "1,620"],
    "bytes per delivery": ["124", "126 ±2", "248", "126 ±2"],
    "connections": ["21", "20", "42", "20"],
    "connections held": ["19", "20", "38", "40"],
    "server CPU": ["77 ms", "–", "154 ms", "–"],
    "server peak memory": ["30.0 MiB", "–", "60.0 MiB", "–"],
}


def test_every_figure_stands_in_its_own_row_and_column():
    """In HTML: the row's name, then measured and theory for each transport. All figures differ, so none can swap."""
    head, *rows = Cells(table.markup([run(), run("WebSocket", 2)])).rows
    assert head == ["", "Polling", "theory", "WebSocket", "theory"]
    assert {name: cells for name, *cells in rows} == EXPECTED
    assert [name for name, *_ in rows] == list(EXPECTED)


def test_the_text_has_the_same_cells_in_the_same_places():
    """In a terminal: each cell ends where its column ends."""
    title, _, head, rule, *lines = table.text([run(), run("WebSocket", 2)]).splitlines()
    assert title.startswith("20 clients, 8 s, polls every 0.25 s, 16 updates (poisson, 2 a second)")
    assert set(rule) == {"-"} and len(rule) >= max(map(len, lines))
    assert head.split() == ["Polling", "theory", "WebSocket", "theory"]
    for (name, cells), line in zip(EXPECTED.items(), lines, strict=True):
        assert line.startswith(name)
        assert line.removeprefix(name).split() == " ".join(cells).split()


def test_what_is_unknown_is_a_dash_and_one_is_singular():
    """No delivery: no latency and nothing to divide the bytes by."""
    nothing = run(
        published=1,
        clients=1,
        latency_mean_s=float("nan"),
        flow_bytes_per_delivery=float("nan"),
        latency_percentile_s=lambda _: float("nan"),
    )
    cells = {name: cells for name, *cells in Cells(table.markup([nothing])).rows}
    for name in ("mean latency", "p50 latency", "p99 latency", "bytes per delivery"):
        assert cells[name][0] == "–"
    assert table.text([nothing]).startswith("1 client, 8 s, polls every 0.25 s, 1 update (")


def test_notes_name_their_transport_and_are_escaped():
    """A sentence from a run cannot become markup."""
    noted = [run(notes=("<script>alert(1)</script>",)), run("WebSocket", notes=("slow",))]
    assert table.notes([run(unknown=("no p99: why",))]) == ["Polling: no p99: why"]
    assert table.notes(noted) == ["Polling: <script>alert(1)</script>", "WebSocket: slow"]
    assert "script" not in Cells(table.markup(noted)).tags
    assert table.text(noted).endswith("note: Polling: <script>alert(1)</script>\nnote: WebSocket: slow")


def test_a_line_is_in_the_title_and_what_nobody_can_foresee_is_a_dash():
    """Whoever reads the numbers sees what they went through."""
    assert "through a line" not in table.title([run()])
    assert table.title([run(line="delay=50ms")]).endswith(", through a line with delay=50ms")
    assert table.title([run(line="")]).endswith(", through a line with no fault")
    cut = run(predicted=unforeseen(run().predicted, "it was cut"))
    rows = {row.name: row.theory(cut) for row in table.ROWS}
    lost = ("requests", "wasted requests", "wasted share", "mean latency", "connections", "connections held")
    assert {rows[name] for name in lost} == {"–"}
    assert rows["deliveries"] == "81"
