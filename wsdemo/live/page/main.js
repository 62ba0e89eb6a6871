/** The page: one run of the week, two sides that hear it. This module wires the others together. */

import { Chart } from "./chart.js";
import { Clock } from "./clock.js";
import { readable } from "./colour.js";
import { Controls } from "./controls.js";
import { numbers, Table, write } from "./numbers.js";
import { Panel } from "./panel.js";
import { Session, tell } from "./session.js";
import { Side } from "./side.js";
import { Texts, LANGUAGES, preferred } from "./texts.js";
import { Schedule } from "./theory.js";
import { backoff, sleep } from "./waits.js";

const SETTLE_MS = 150;

/** Ask for what the page cannot begin without, until it is there. */
async function ask(path) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await tell(path);
    } catch {
      await sleep(backoff(attempt));
    }
  }
}

const [config, land] = await Promise.all([ask("config"), ask("land.json")]);
const SIDES = Object.keys(config.sides);
// A transport's file is found by its name alone: whoever adds one adds a row to the registry and a file here.
await Promise.all(config.transports.map(async (transport) => {
  transport.hear = (await import(`./transports/${transport.name}.js`)).hear;
}));
const find = (name) => config.transports.find((transport) => transport.name === name);
const clock = new Clock();

/** The run: its recipe, and where it stands. While it is frozen, its time stands still. */
const run = {
  speed: config.speed, startS: 0, epoch: null, t0Ms: 0, frozenS: 0, paused: false,
  seen: { atMs: 0, elapsedS: 0 },
  nowS() {
    return this.frozenS ?? (clock.now() - this.t0Ms) / 1000;
  },
  /** Seconds since its start, by the page's own clock: the server's may be another one by now. */
  elapsedS() {
    return this.frozenS ?? this.seen.elapsedS + (performance.now() - this.seen.atMs) / 1000;
  },
  weekS(atS = this.nowS()) {
    return (this.startS + this.speed * atS) % config.week_s;
  },
};

let intervalS = config.interval_s;
let schedule = new Schedule(0);
let note = { text: () => "", untilMs: 0 };
const bytes = { left: { now: 0, before: 0, base: 0 }, right: { now: 0, before: 0, base: 0 } };

const watcher = {
  heard(side, update) {
    if (schedule.learn(update.seq, update.atS)) {
      SIDES.forEach((name) => panels[name].strip.exists(update.seq, update.atS));
    }
    const panel = panels[side.name];
    panel.strip.heard(update.seq, update.heardS);
    panel.map.add(update.data);
    chart.add(side.name, update.heardS, update.latencyS);
  },
  asked(side, request) {
    panels[side.name].strip.asked(request);
  },
  changed() {
    showNumbers();
  },
};

const sides = {
  left: new Side("left", find(config.sides.left), run, watcher),
  right: new Side("right", find(config.sides.right), run, watcher),
};
const both = (make) => Object.fromEntries(SIDES.map((name) => [name, make(sides[name])]));
const panels = both((side) => new Panel(side, land.rings, config.transports, {
  choose: (name) => changeTransport(side, name),
}));
document.getElementById("no-script").remove();
document.getElementById("sides").append(...SIDES.map((name) => panels[name].root));
const chart = new Chart(document.getElementById("chart"));
const table = new Table(document.getElementById("table"));

const session = new Session(clock, {
  wanted: () => ({
    speed: run.speed, start_s: run.startS, elapsed_s: Math.max(0, run.elapsedS()),
    left: sides.left.transport.name, right: sides.right.transport.name,
  }),
  opened(about) {
    const again = run.frozenS === null;
    Object.assign(run, { epoch: about.epoch, t0Ms: about.t0_ms, frozenS: null });
    seeClock();
    for (const name of SIDES) {
      bytes[name].before += bytes[name].now;
      bytes[name].now = 0;
      sides[name].connect(about.ports[name]);
    }
    say(again ? () => texts.get("back") : () => "", 8000);
  },
  beat(answer) {
    seeClock();
    takeBytes(answer);
    if (trouble) {
      trouble = false;
      say(() => "");
    }
  },
  unreachable(waitMs) {
    trouble = true;
    say(() => texts.get("unreachable", { wait: untilText(waitMs) }));
  },
  refused(error, waitMs) {
    trouble = true;
    if (error.status === 400 && run.elapsedS() > 0) {
      begin({ startS: run.weekS(run.elapsedS()) });
      say(() => texts.get("tooFar"), 20_000);
    } else {
      say(() => texts.get("refused", { reason: error.message, wait: untilText(waitMs) }));
    }
  },
});
let trouble = false;

function seeClock() {
  run.seen = { atMs: performance.now(), elapsedS: run.nowS() };
}

function takeBytes(answer) {
  for (const name of SIDES) {
    const { bytes_sent: sent, bytes_received: received } = answer.sides[name];
    bytes[name].now = sent + received;
  }
}

function untilText(waitMs) {
  return texts.plain(Math.max(1, Math.round(waitMs / 1000)));
}

/** Show a note for a while, or until the next; `text` is called again when the language changes. */
function say(text, forMs = Infinity) {
  note = { text, untilMs: performance.now() + forMs };
  showNumbers();
}

// What a person can do.

/** Begin a run: from the start of the week, or from a moment of it at another speed. */
function begin({ speed = run.speed, startS = 0 }) {
  SIDES.forEach((name) => sides[name].disconnect());
  Object.assign(run, { speed, startS, frozenS: 0, paused: false });
  schedule = new Schedule(0);
  SIDES.forEach((name) => {
    sides[name].begin();
    panels[name].strip.clear();
    Object.assign(bytes[name], { now: 0, before: 0, base: 0 });
    if (startS === 0) {
      panels[name].map.clear();
    }
  });
  chart.clear();
  measureAnew();
  session.keep();
  dress();
}

/** Count from now on: what was counted before happened under other rules. */
function measureAnew() {
  const sinceS = run.nowS();
  schedule.restart(sinceS, intervalS);
  for (const name of SIDES) {
    sides[name].setTimetable(sinceS, intervalS);
    bytes[name].base = bytes[name].before + bytes[name].now;
  }
  showNumbers();
}

function setSpeed(speed) {
  begin({ speed, startS: run.weekS() });
}

let settling = 0;
function setInterval_(seconds) {
  intervalS = seconds;
  controls.showInterval(seconds);
  clearTimeout(settling);
  settling = setTimeout(measureAnew, SETTLE_MS); // a slider in motion passes many values
}

async function pause() {
  if (run.paused) {
    run.paused = false;
    session.keep(); // the same run, from the moment where it stopped
  } else {
    run.frozenS = run.nowS();
    run.paused = true;
    SIDES.forEach((name) => sides[name].disconnect());
    try {
      if (session.id !== null) {
        takeBytes(await tell(`session/${session.id}/beat`, {}));
      }
    } catch {
      // Then the bytes of the last second are missing, and the server is away anyway.
    }
    if (run.paused) {
      session.close();
    }
  }
  controls.showPaused(run.paused);
  showNumbers();
}

function changeTransport(side, name) {
  if (name === side.transport.name) {
    return;
  }
  side.disconnect();
  side.transport = find(name);
  const told = bytes[side.name];
  told.before += told.now;
  told.now = 0;
  measureAnew();
  dress();
  if (run.paused) {
    return; // the next session will be asked for with it
  }
  if (session.id === null) {
    session.keep(); // the one that is being asked for now would have the old one
    return;
  }
  // One after the other: of two changes, the later must be the one that stays.
  changing = changing.then(async () => {
    try {
      const port = await session.change(side.name, name);
      if (side.transport.name === name && !run.paused) {
        side.connect(port);
      }
    } catch {
      if (!run.paused) {
        session.keep();
      }
    }
  });
}
let changing = Promise.resolve();

let texts = new Texts(preferred());
const darkByDefault = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let theme = null;
const isDark = () => (theme ?? (darkByDefault.matches ? "dark" : "light")) === "dark";

const controls = new Controls(config, {
  interval: setInterval_,
  speed: setSpeed,
  pause,
  restart: () => begin({ startS: 0 }),
  theme() {
    theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    dress();
  },
  language() {
    texts = new Texts(LANGUAGES.find((language) => language !== texts.language));
    dress();
  },
});
darkByDefault.addEventListener("change", dress);
still.addEventListener("change", dress);

// What is seen.

/** Say and colour everything again: after a change of language, theme or transport. */
function dress() {
  const css = getComputedStyle(document.documentElement);
  const read = (name) => css.getPropertyValue(name);
  const look = Object.fromEntries(["ink", "soft", "line", "card", "sea", "land", "coast"].map(
    (name) => [name, read(`--${name}`)]));
  const family = getComputedStyle(document.body).fontFamily;
  look.font = `0.8125rem ${family}`.replace("0.8125rem", `${Math.max(12, 0.8125 * parseFloat(css.fontSize))}px`);
  look.moves = !still.matches;
  const looks = both((side) => ({
    ...look, rim: look.card, rest: isDark() ? 0.75 : 0.55,
    mark: readable(side.transport.colour, look.sea, isDark() ? 5.5 : 3),
    text: readable(side.transport.colour, look.card, 4.5),
  }));
  controls.dress(texts, { dark: isDark(), speed: run.speed });
  controls.showInterval(intervalS);
  controls.showPaused(run.paused);
  SIDES.forEach((name) => panels[name].dress(texts, looks[name]));
  chart.setLook({
    ...look, sides: looks, format: (seconds) => texts.duration(seconds).replace(/[.,]0(0)?(?=\D)/, ""),
    ago: (seconds) => (seconds === 0 ? texts.get("now") : texts.get("ago", { seconds })),
  });
  table.build(texts, both((side) => ({ transport: side.transport, text: looks[side.name].text })));
  for (const node of fine) {
    node.textContent = "";
  }
  showNumbers();
}

const fine = ["fineClock", "fineBytes", "fineTheory", "fineData"].map((key) => {
  const node = document.createElement("p");
  node.dataset.key = key;
  return node;
});
document.getElementById("fine").append(...fine);

/** Every number of this moment, for both sides. */
function currentNumbers() {
  const nowS = run.nowS();
  return both((side) => numbers(side, {
    schedule, nowS, intervalS, ratePerS: run.speed * config.rate_per_s_at_speed_1,
    delayS: clock.best ? clock.error / 1000 : 0,
    bytes: bytes[side.name].before + bytes[side.name].now - bytes[side.name].base,
  }));
}

let shown = null;
let shownMs = 0;
function showNumbers() {
  shownMs = -Infinity; // with the next frame, and not once for each of a hundred updates that came at once
}

function fillNumbers() {
  shown = currentNumbers();
  table.fill(shown, schedule.sinceS);
  for (const name of SIDES) {
    panels[name].paused = run.paused;
    panels[name].show(shown[name], intervalS);
  }
  controls.showMoment(run.weekS(), run.speed);
  const notMade = SIDES.reduce((most, name) => Math.max(most, shown[name].notMade), 0);
  const current = performance.now() < note.untilMs ? note.text() : "";
  controls.showNote(current || (notMade > 2 && !run.paused ? texts.get("notMade", { count: notMade }) : ""));
  const error = texts.duration(clock.best ? clock.error / 1000 : 0);
  fine.forEach((node) => write(node, texts.get(node.dataset.key, { error, delay: error })));
}

let chartMs = 0;
let describedMs = -Infinity;
function frame(nowMs) {
  const nowS = run.nowS();
  for (const name of SIDES) {
    panels[name].map.draw(nowMs);
    panels[name].strip.draw(nowS, sides[name].polls);
  }
  if (nowMs - shownMs > 250) {
    fillNumbers();
    shownMs = nowMs;
  } else if (nowMs - chartMs > 100) {
    chart.draw(nowS, both((side) => shown[side.name].expected.latency));
    chartMs = nowMs;
  } else if (nowMs - describedMs > 5000) {
    SIDES.forEach((name) => panels[name].describe(shown[name]));
    describedMs = nowMs;
  }
  requestAnimationFrame(frame);
}

// A tab that is out of sight.

let hiddenMs = null;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenMs = performance.now();
  } else if (hiddenMs !== null) {
    const away = (performance.now() - hiddenMs) / 1000;
    hiddenMs = null;
    if (away > 2 && !run.paused) {
      say(() => texts.get("background", { away: texts.plain(Math.round(away)) }), 15_000);
    }
  }
});
addEventListener("pagehide", () => {
  run.frozenS = run.nowS(); // who comes back to the page finds it where it was
  SIDES.forEach((name) => sides[name].disconnect());
  session.close();
});
addEventListener("pageshow", (event) => {
  if (event.persisted && !run.paused) {
    session.keep();
  }
});

/** For the console and the tests: the numbers of the table, unrounded. */
globalThis.wsdemo = {
  snapshot: () => ({
    nowS: run.nowS(), sinceS: schedule.sinceS, intervalS, speed: run.speed, startS: run.startS, paused: run.paused,
    session: session.id, errorMs: clock.best?.roundTrip / 2, sides: both((side) => ({
      transport: side.transport.name, state: side.state.kind, seq: side.seq, lost: side.lost, ...side.tally,
      ...currentNumbers()[side.name],
    })),
  }),
};

begin({});
requestAnimationFrame(frame);
