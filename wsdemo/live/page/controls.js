/** The controls: they say what a person wants, and show what is so. */

import { element, write } from "./dom.js";

const SPEEDS = [30, 60, 120, 240, 600, 1200, 3600, 7200];

export class Controls {
  /** actions: interval(seconds), speed(value), pause(), restart(), theme(), language(). */
  constructor(config, actions) {
    this.nodes = Object.fromEntries(
      ["interval", "interval-shown", "speed", "pause", "restart", "theme", "language", "moment"].map(
        (id) => [id, document.getElementById(id)]));
    this.config = config;
    [this.low, this.high] = config.interval_range_s;
    const { interval, speed, pause, restart, theme, language } = this.nodes;
    document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
    interval.addEventListener("input", () => actions.interval(this.#seconds(interval.valueAsNumber)));
    speed.addEventListener("change", () => actions.speed(Number(speed.value)));
    pause.addEventListener("click", actions.pause);
    restart.addEventListener("click", actions.restart);
    theme.addEventListener("click", actions.theme);
    language.addEventListener("click", actions.language);
  }

  /** Say everything in a language. */
  dress(texts, { dark, speed }) {
    this.texts = texts;
    texts.dress();
    write(this.nodes.theme, texts.get(dark ? "light" : "dark"));
    write(this.nodes.language, texts.get("language"));
    this.nodes.language.lang = texts.language === "zh" ? "en" : "zh";
    const speeds = [...new Set([...SPEEDS, speed])].sort((a, b) => a - b);
    this.nodes.speed.replaceChildren(...speeds.map((value) => element("option", {
      value, selected: value === speed,
      textContent: texts.get("rate", {
        amount: texts.span(value),
        rate: texts.number(value * this.config.rate_per_s_at_speed_1, { maximumSignificantDigits: 2 }),
      }),
    })));
  }

  /** Say where the run stands and how it is set. */
  show(run) {
    this.#showInterval(run.intervalS);
    this.#showMoment(run.weekS(), run.speed);
    write(this.nodes.pause, this.texts.get(run.paused ? "resume" : "pause"));
  }

  #showInterval(seconds) {
    const { interval } = this.nodes;
    if (this.#seconds(interval.valueAsNumber) !== seconds) {
      interval.valueAsNumber = Math.round((100 * Math.log(seconds / this.low)) / Math.log(this.high / this.low));
    }
    const text = this.texts.plain(seconds);
    if (interval.ariaValueText !== text) {
      interval.ariaValueText = text; // a change is read out, so only one that is
    }
    write(this.nodes["interval-shown"], text);
  }

  #showMoment(weekS, speed) {
    const at = new Date(Date.parse(this.config.week_start) + weekS * 1000);
    write(this.nodes.moment, this.texts.get("moment", {
      when: this.texts.when.format(at), speed: this.texts.get("perSecond", { amount: this.texts.span(speed) }),
    }));
  }

  /** From the slider's place to seconds: each step the same factor, in two digits. */
  #seconds(place) {
    return Number((this.low * (this.high / this.low) ** (place / 100)).toPrecision(2));
  }
}
