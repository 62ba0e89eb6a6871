/** The screen: everything that is seen of a run, put together, dressed and drawn. What it shows is the run's. */

import { Chart } from "./chart.js";
import { chosenTheme } from "./choices.js";
import { Controls } from "./controls.js";
import { write } from "./dom.js";
import { onPaper, pageLook, sideLook } from "./look.js";
import { Panel } from "./panel.js";
import { SIDES, both } from "./run.js";
import { keep } from "./shared/address.js";
import { WINDOW_S } from "./strip.js";
import { Table } from "./table.js";
import { LANGUAGES, Texts } from "./texts.js";

const FINE = ["fineClock", "fineBytes", "fineTheory", "fineData"];
const NUMBERS_MS = 250;
const CHART_MS = 100;
const DESCRIBE_MS = 5000;

export class Screen {
  #theme = chosenTheme();
  #dark = matchMedia("(prefers-color-scheme: dark)");
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #forced = matchMedia("(forced-colors: active)");
  #shown = null;
  #at = { numbers: -Infinity, chart: -Infinity, described: -Infinity };

  /** rings: the land; conductor: does what a person wants. */
  constructor(run, note, rings, conductor) {
    Object.assign(this, { run, note, texts: note.texts });
    const byId = (id) => document.getElementById(id);
    this.panels = both((name) => new Panel(run.sides[name], rings, run.transports, run.config.troubles, {
      choose: (transport) => conductor.changeTransport(run.sides[name], transport),
      trouble: (kind) => conductor.changeTrouble(run.sides[name], kind),
    }));
    byId("no-script").remove();
    byId("sides").append(...SIDES.map((name) => this.panels[name].root));
    this.chart = new Chart(byId("chart"));
    this.table = new Table(byId("table"));
    this.fine = FINE.map(() => document.createElement("p"));
    byId("fine").append(...this.fine);
    this.controls = new Controls(run.config, {
      interval: (seconds) => conductor.setInterval(seconds),
      speed: (speed) => conductor.setSpeed(speed),
      pause: () => conductor.pause(),
      restart: () => conductor.begin(),
      theme: () => this.#changeTheme(),
      language: () => this.#changeLanguage(),
    });
    this.#dark.addEventListener("change", () => this.#dress());
    this.#still.addEventListener("change", () => this.#paint());
    this.#forced.addEventListener("change", () => this.#paint());
    addEventListener("resize", () => this.#paint()); // the letters of the pictures grow with those of the page
    onPaper((isPaper) => this.#changePaper(isPaper));
  }

  /** Draw from now on, with every frame. */
  start() {
    requestAnimationFrame((nowMs) => {
      this.#draw(nowMs);
      this.start();
    });
  }

  // What the run tells.

  begun() {
    for (const name of SIDES) {
      this.panels[name].strip.clear();
      if (this.run.startS === 0) {
        this.panels[name].map.clear();
      }
    }
    this.chart.clear();
    this.#dress();
  }

  recast() {
    this.#dress();
  }

  heard(side, update, isNew) {
    if (isNew) {
      SIDES.forEach((name) => this.panels[name].strip.exists(update.seq, update.atS));
    }
    const panel = this.panels[side.name];
    panel.strip.heard(update.seq, update.heardS);
    panel.map.add(update.data);
    this.chart.add(side.name, update.heardS, update.latencyS);
  }

  asked(side, request) {
    this.panels[side.name].strip.asked(request);
  }

  changed() {
    this.#at.numbers = -Infinity; // with the next frame, and not once for each of a hundred updates that came at once
  }

  // How it looks.

  get #isDark() {
    return (this.#theme ?? (this.#dark.matches ? "dark" : "light")) === "dark";
  }

  #changeTheme() {
    this.#theme = this.#isDark ? "light" : "dark";
    keep("theme", this.#theme);
    this.#dress();
  }

  #changeLanguage() {
    this.texts = this.note.texts = new Texts(LANGUAGES.find((language) => language !== this.texts.language));
    keep("language", this.texts.language);
    this.#dress();
  }

  /** The page becomes paper, or a screen again. Everything is drawn at once: paper waits for no frame. */
  #changePaper(isPaper) {
    document.documentElement.toggleAttribute("data-print", isPaper);
    for (const { sheet } of this.#pictures()) {
      sheet.hold(false);
      sheet.hold(isPaper); // else Chromium squeezes some of them by a few pixels
    }
    this.#paint();
    const [nowMs, nowS] = [performance.now(), this.run.nowS()];
    this.#fill();
    this.#drawPictures(nowMs, nowS);
    this.#drawChart(nowS);
  }

  /** Say and colour everything again: after a change of language, theme or transport. */
  #dress() {
    const { run, texts } = this;
    if (this.#theme !== null) {
      document.documentElement.dataset.theme = this.#theme;
    }
    this.controls.dress(texts, { dark: this.#isDark, speed: run.speed });
    SIDES.forEach((name) => this.panels[name].dress(texts));
    this.table.build(texts, both((name) => run.sides[name].transport));
    this.fine.forEach((node) => write(node, ""));
    this.#paint();
  }

  /** Colour everything again, and draw in letters of the right size: also after a change of the screen. */
  #paint() {
    const { run, texts } = this;
    const look = pageLook(!this.#still.matches);
    const looks = both((name) => sideLook(look, run.sides[name].transport));
    SIDES.forEach((name) => this.panels[name].setLook(looks[name]));
    this.chart.setLook({
      ...look,
      sides: looks,
      format: (seconds) => texts.duration(seconds).replace(/[.,]0(0)?(?=\D)/, ""),
      ago: (seconds) => (seconds === 0 ? texts.get("now") : texts.get("ago", { seconds })),
    });
    this.table.setLook(looks);
    this.changed();
  }

  #pictures() {
    return [this.chart, ...SIDES.flatMap((name) => [this.panels[name].map, this.panels[name].strip])];
  }

  // What it says.

  #draw(nowMs) {
    const nowS = this.run.nowS();
    this.#drawPictures(nowMs, nowS);
    // One of the three with a frame, the most wanted first.
    if (nowMs - this.#at.numbers > NUMBERS_MS) {
      this.#at.numbers = nowMs;
      this.#fill();
    } else if (nowMs - this.#at.chart > CHART_MS) {
      this.#at.chart = nowMs;
      this.#drawChart(nowS);
    } else if (nowMs - this.#at.described > DESCRIBE_MS) {
      this.#at.described = nowMs;
      SIDES.forEach((name) => this.panels[name].describe(this.#shown[name]));
    }
  }

  #drawPictures(nowMs, nowS) {
    for (const name of SIDES) {
      this.panels[name].map.draw(nowMs);
      const { polls, trouble } = this.run.sides[name];
      this.panels[name].strip.draw(nowS, polls, trouble.spans(nowS - WINDOW_S));
    }
  }

  #drawChart(nowS) {
    this.chart.draw(nowS, both((name) => this.#shown[name].expected.law));
  }

  #fill() {
    const { run, texts, controls, panels } = this;
    const shown = run.numbers();
    this.#shown = shown;
    this.table.fill(shown, run.schedule.sinceS);
    SIDES.forEach((name) => panels[name].show(shown[name], run));
    controls.show(run);
    const notMade = Math.max(...SIDES.map((name) => shown[name].notMade));
    this.note.show(notMade > 2 && !run.paused ? texts.get("notMade", { count: notMade }) : "");
    const error = texts.duration(run.delayS);
    this.fine.forEach((node, i) => write(node, texts.get(FINE[i], { error, delay: error })));
  }
}
