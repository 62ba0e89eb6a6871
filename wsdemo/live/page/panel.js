/** A side's half of the screen: its head, map, strip and state. It shows; what happens is decided elsewhere. */

import { element, write } from "./dom.js";
import { WorldMap } from "./map.js";
import { Strip } from "./strip.js";

export class Panel {
  /**
   * actions: `choose(name)` is called with the transport that a person wants on this side, `trouble(kind)` with the
   * trouble, one of `troubles`.
   */
  constructor(side, rings, transports, troubles, actions) {
    this.side = side;
    const root = document.getElementById("side").content.firstElementChild.cloneNode(true);
    this.root = root;
    root.dataset.side = side.name;
    root.classList.add(side.name);
    const find = (selector) => root.querySelector(selector);
    this.nodes = Object.fromEntries(
      ["family", "habit", "transport", "vain", "vain-label", "late", "late-label", "mark", "last-text", "state",
        "state-text", "offers", "map", "strip", "unseen", "trouble", "trouble-of", "trouble-label", "struck"].map((name) => [name, find(`.${name}`)]));
    this.nodes.family.id = `${side.name}-title`;
    root.setAttribute("aria-labelledby", this.nodes.family.id);
    this.map = new WorldMap(this.nodes.map, rings);
    this.strip = new Strip(this.nodes.strip);
    Object.assign(this, { transports, troubles, actions });
    this.nodes.transport.addEventListener("change", () => actions.choose(this.nodes.transport.value));
    this.nodes.trouble.addEventListener("change", () => actions.trouble(this.nodes.trouble.value));
  }

  /** Say everything that depends on language or transport. */
  dress(texts) {
    const { side, nodes } = this;
    const cased = side.name === "left" ? "Left" : "Right";
    Object.assign(this, { texts, cased });
    write(nodes.family, texts.get(side.transport.family));
    write(nodes.unseen, texts.get(`transport${cased}`));
    nodes.transport.replaceChildren(...this.transports.map((transport) => element("option", {
      value: transport.name, textContent: texts.label(transport), selected: transport.name === side.transport.name,
    })));
    write(nodes["trouble-of"], texts.get(`trouble${cased}`));
    write(nodes["trouble-label"], texts.get("trouble"));
    nodes.trouble.replaceChildren(...this.troubles.map((kind) => element("option", {
      value: kind, textContent: texts.get(`trouble.${kind}`), selected: kind === side.trouble.wanted,
    })));
    write(nodes["late-label"], texts.get("late"));
    nodes.offers.replaceChildren();
  }

  /** Take over how it looks: colours, letters, and whether things may move. */
  setLook(look) {
    const { texts, side, root } = this;
    root.style.setProperty("--mark", look.mark);
    root.style.setProperty("--text", look.text);
    this.map.setLook(look);
    this.strip.setLook({
      ...look,
      texts: { source: texts.get("source"), reader: texts.get(side.polls ? "readerPull" : "readerPush") },
      words: Object.fromEntries([...this.troubles, "known"].map((word) => [word, texts.get(`word.${word}`)])),
    });
  }

  /** Say the numbers of this moment. */
  show({ measured }, { intervalS, paused, config }) {
    const { texts, nodes, side } = this;
    write(nodes.habit, texts.get(`habit.${side.transport.habit}`, { interval: texts.plain(intervalS) }));
    write(nodes.vain, measured.share === null ? "–" : texts.share(measured.share));
    write(nodes["vain-label"], texts.get("vain", { count: measured.judged }));
    write(nodes.late, measured.latency === null ? "–" : texts.duration(measured.latency));
    this.#showLast();
    this.#showState(paused);
    this.#showTrouble(paused, config.trouble_delay_s);
  }

  /** What a screen reader is told of the pictures; seldom, since it changes all the time. */
  describe({ measured }) {
    const { texts, nodes } = this;
    nodes.map.setAttribute("aria-label", texts.get(`map${this.cased}`, { count: this.side.seq }));
    nodes.strip.setAttribute("aria-label", texts.get(`strip${this.cased}`, measured));
  }

  #showLast() {
    const { texts, nodes, side } = this;
    nodes.mark.classList.toggle("full", Boolean(side.last));
    if (side.last) {
      const { data, latencyS } = side.last;
      const magnitude = data.magnitude === null ? texts.get("noMagnitude")
        : `M ${texts.number(data.magnitude, { minimumFractionDigits: 1, maximumFractionDigits: 1 })}`;
      write(nodes["last-text"], texts.get("heard", { magnitude, place: data.place, latency: texts.duration(latencyS) }));
    } else {
      write(nodes["last-text"], texts.get(side.polls ? "nothing" : "silent"));
    }
  }

  #showTrouble(paused, delayS) {
    const { nodes, side } = this;
    nodes.trouble.disabled = paused; // no line is there
    if (nodes.trouble.value !== side.trouble.wanted) {
      nodes.trouble.value = side.trouble.wanted;
    }
    const last = side.trouble.last();
    write(nodes.struck, last === null ? "" : struckText(this.texts, last, delayS));
  }

  #showState(paused) {
    const { texts, nodes, side } = this;
    const { kind, untilMs } = side.state;
    // Plain HTTP comes through where a page has come through; an upgrade of it may not.
    const never = side.transport.scheme === "ws" && side.neverOpens;
    nodes.state.dataset.kind = kind;
    // Whole seconds, counted up: a status that changed every tenth would never stop being read out.
    const wait = texts.plain(Math.max(1, Math.ceil(((untilMs ?? 0) - performance.now()) / 1000)));
    const broken = kind === "broken" && !side.everOpened ? "unopened" : kind;
    write(nodes["state-text"], texts.get(never ? "never" : paused ? "paused" : broken, { wait }));
    if (never !== nodes.offers.childElementCount > 0) {
      nodes.offers.replaceChildren(...(never ? this.#others() : []).map((transport) => {
        const button = element("button", { type: "button", textContent: texts.label(transport) });
        button.dataset.offer = transport.name;
        button.addEventListener("click", () => this.actions.choose(transport.name));
        return button;
      }));
    }
  }

  /** What else tells a reader at once, over plain HTTP; first what behaves alike. */
  #others() {
    const others = this.transports.filter(({ family, scheme }) => family === "push" && scheme === "http");
    const alike = ({ habit }) => habit === this.side.transport.habit;
    return [...others.filter(alike), ...others.filter((one) => !alike(one))];
  }
}

/** What happened to a line last, when its side knew, and what became of the updates. */
function struckText(texts, { kind, fromS, knownS, toS, late, lost }, delayS) {
  const from = texts.moment(fromS);
  if (kind === "delay") {
    return texts.get(toS === null ? "struck.delay" : "delayed", { from, delay: texts.duration(delayS) });
  }
  const struck = texts.get(`struck.${kind}`, { from });
  if (knownS === null) {
    return texts.get(toS === null ? "unaware" : "unfelt", { struck, lost });
  }
  const after = texts.moment(knownS - fromS);
  return texts.get(toS === null ? "away" : "came", { struck, after, count: late, lost });
}
