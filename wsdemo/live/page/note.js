/** The note under the controls: one sentence on what is not as it should be, the gravest first. */

import { write } from "./dom.js";
import { Texts } from "./texts.js";

export class Note {
  texts = new Texts();
  #fault = null;
  #said = () => "";
  #untilMs = 0;

  constructor(node) {
    this.node = node;
  }

  /** Say something for a while, or until the next; `text` is given the texts, again when the language changes. */
  say(text, forMs = Infinity) {
    this.#said = text;
    this.#untilMs = performance.now() + forMs;
  }

  /** Say for good that the page itself is broken. At once: what draws may be what is broken. */
  fault(error) {
    this.#fault ??= error?.message ?? String(error);
    this.show();
  }

  /** Show what is to be said now; `otherwise` if nothing is. */
  show(otherwise = "") {
    const said = performance.now() < this.#untilMs ? this.#said(this.texts) : "";
    write(this.node, this.#fault === null ? said || otherwise : this.texts.get("fault", { reason: this.#fault }));
  }
}

/** Call `told` with every error that nobody caught. None of them is the network's: those are caught where one asks. */
export function watchForFaults(told) {
  addEventListener("error", ({ error }) => {
    if (error) { // the browser's own remarks carry none, such as that a ResizeObserver was late
      told(error);
    }
  });
  addEventListener("unhandledrejection", ({ reason }) => told(reason));
}
