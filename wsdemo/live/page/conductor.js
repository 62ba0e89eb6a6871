/** Leads the run: does to it what a person wants, and keeps a server playing it. It knows no view but the note. */

import { onlyTrouble } from "./net.js";
import { both } from "./run.js";
import { Session } from "./session.js";
import { keep } from "./shared/address.js";

const SETTLE_MS = 150;

export class Conductor {
  #settling = 0;
  #changing = Promise.resolve();
  #trouble = false;

  constructor(run, note) {
    Object.assign(this, { run, note });
    this.session = new Session(run.clock, this);
  }

  // What a person wants.

  /** Begin a run: from the start of the week, or from a moment of it at another speed. */
  begin({ speed = this.run.speed, startS = 0 } = {}) {
    this.run.begin(speed, startS);
    this.session.keep();
  }

  setSpeed(speed) {
    keep("speed", speed);
    this.begin({ speed, startS: this.run.weekS() });
  }

  setInterval(seconds) {
    this.run.intervalS = seconds;
    this.run.watcher.changed();
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#settle(), SETTLE_MS); // a slider in motion passes many values
  }

  async pause() {
    const { run, session } = this;
    if (run.paused) {
      run.paused = false;
      session.keep(); // the same run, from the moment where it stopped
    } else {
      run.paused = true;
      run.stop();
      try {
        if (session.id !== null) {
          run.takeBytes(await session.counters());
        }
      } catch (error) {
        onlyTrouble(error); // then the bytes of the last second are missing, and the server is away anyway
      }
      if (run.paused) {
        session.close();
      }
    }
    run.watcher.changed();
  }

  changeTransport(side, name) {
    const { run, session } = this;
    if (name === side.transport.name) {
      return;
    }
    keep(side.name, name);
    run.recast(side, name);
    this.#countBytes();
    if (run.paused) {
      return; // the next session will be asked for with it
    }
    if (session.id === null) {
      session.keep(); // the one that is being asked for now would have the old one
      return;
    }
    // One after the other: of two changes, the later must be the one that stays.
    this.#changing = this.#changing.then(() => this.#change(side, name));
  }

  /** Put the line of a side in trouble, or in order again. */
  changeTrouble(side, kind) {
    const { run, session } = this;
    if (kind === side.trouble.wanted || run.paused || session.id === null) {
      run.watcher.changed(); // the control shows what is so
      return;
    }
    run.troubles(side, kind);
    this.#countBytes();
    this.#changing = this.#changing.then(() => this.#lead(side, kind));
  }

  #settle() {
    keep("interval", this.run.intervalS);
    this.run.measureAnew();
    this.#countBytes();
  }

  /** Let the bytes be counted from now on. The server's counters of now are not here yet, so they are asked for. */
  async #countBytes() {
    const { run, session } = this;
    const { sinceS } = run.schedule;
    const ports = both((name) => run.sides[name].port);
    if (session.id === null) {
      return;
    }
    try {
      const counters = await session.counters();
      if (run.schedule.sinceS === sinceS) {
        run.countBytesFrom(counters, ports);
      }
    } catch (error) {
      onlyTrouble(error); // then the last second before the change is counted, too
    }
  }

  async #change(side, name) {
    try {
      const { port, via } = await this.session.change(side.name, name);
      if (side.transport.name === name && !this.run.paused) {
        side.connect(port, via);
      }
    } catch (error) {
      this.#startOver(error);
    }
  }

  async #lead(side, kind) {
    try {
      const via = await this.session.trouble(side.name, kind);
      if (side.trouble.wanted === kind && side.port !== null && !this.run.paused) {
        side.connect(side.port, via);
      }
    } catch (error) {
      this.#startOver(error);
    }
  }

  /** A change that came to nothing: another session will be as it is wanted. */
  #startOver(error) {
    onlyTrouble(error);
    if (!this.run.paused) {
      this.session.keep();
    }
  }

  /** The page is left: stop where it is, for whoever comes back to it. */
  leave() {
    this.run.stop();
    this.session.close();
  }

  comeBack() {
    if (!this.run.paused) {
      this.session.keep();
    }
  }

  // What the session tells.

  wanted() {
    return this.run.recipe();
  }

  opened(about) {
    const again = this.run.frozenS === null;
    this.run.goOn(about);
    this.#say(again ? (texts) => texts.get("back") : () => "", 8000);
  }

  beat(counters) {
    this.run.beat(counters);
    if (this.#trouble) {
      this.#trouble = false;
      this.#say(() => "");
    }
  }

  unreachable(waitMs) {
    this.#trouble = true;
    const text = window.parent === window ? "unreachable" : "unreachableFromFrame";
    this.#say((texts) => texts.get(text, { wait: untilText(texts, waitMs) }));
  }

  refused(error, waitMs) {
    this.#trouble = true;
    if (error.status === 400 && this.run.elapsedS() > 0) {
      this.begin({ startS: this.run.weekS(this.run.elapsedS()) });
      this.#say((texts) => texts.get("tooFar"), 20_000);
    } else {
      this.#say((texts) => texts.get("refused", { reason: error.message, wait: untilText(texts, waitMs) }));
    }
  }

  #say(text, forMs) {
    this.note.say(text, forMs);
    this.run.watcher.changed();
  }
}

function untilText(texts, waitMs) {
  return texts.plain(Math.max(1, Math.round(waitMs / 1000)));
}
