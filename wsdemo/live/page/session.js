/** The session: the feed and the two ports that the server keeps for this page, kept alive, and had again if lost. */

import { Refused, askJson, onlyTrouble } from "./net.js";
import { backoff, sleep } from "./waits.js";

const BEAT_MS = 1000;

/** Send a small message to the page's server, or ask it (`body` left out); return its answer, which has `fields`. */
export function tell(path, fields, body) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return askJson(path, fields, { cache: "no-store", ...(body === undefined ? {} : post) });
}

/**
 * Beats once a second. clock: learns from every answer; watcher: told of `opened(about)`, `beat(answer)`,
 * `unreachable(waitMs)`, `refused(error, waitMs)`; its `wanted()` gives the recipe for a session as of now.
 */
export class Session {
  #end = null;

  constructor(clock, watcher) {
    this.clock = clock;
    this.watcher = watcher;
    this.id = null;
  }

  /** Open a session and keep it, until `close`. A session of before is left to end. */
  keep() {
    this.close();
    this.#end = new AbortController();
    this.#keep(this.#end.signal);
  }

  close() {
    this.#end?.abort();
    this.#end = null;
    if (this.id !== null) {
      sayGoodbye(this.id);
      this.id = null;
    }
  }

  /** Return the counters of both sides as they are now. */
  counters() {
    return tell(`session/${this.id}/beat`, ["sides", "now_ms"], {});
  }

  /** Change the transport of a side; return its new port, and `via`, the port that leads there. */
  change(side, transport) {
    return tell(`session/${this.id}/side`, ["port", "via"], { side, transport });
  }

  /** Put the line of a side in trouble, or in order; return the port that leads to the side now. */
  async trouble(side, trouble) {
    return (await tell(`session/${this.id}/trouble`, ["via"], { side, trouble })).via;
  }

  async #keep(signal) {
    let attempt = 0;
    while (!signal.aborted) {
      let wait = BEAT_MS;
      try {
        if (this.id === null) {
          await this.#open(signal);
        } else {
          const counters = await this.#timed(() => this.counters());
          if (!signal.aborted) {
            this.watcher.beat(counters);
          }
        }
        attempt = 0;
      } catch (error) {
        onlyTrouble(error);
        if (signal.aborted) {
          return;
        }
        if (error instanceof Refused && error.status === 404 && this.id !== null) {
          this.id = null; // the server has forgotten us: it was started again, or we were silent for too long
          continue;
        }
        wait = backoff(attempt);
        attempt += 1;
        if (error instanceof Refused) {
          this.watcher.refused(error, wait);
        } else {
          this.watcher.unreachable(wait);
        }
      }
      await sleep(wait, signal);
    }
  }

  async #open(signal) {
    // The clock first: how far the run is can only be said on the server's clock as it is now.
    for (let round = 0; round < 5 && !signal.aborted; round += 1) {
      await this.#timed(() => tell("clock", ["now_ms"]));
    }
    if (signal.aborted) {
      return;
    }
    const about = await tell("session", ["id", "epoch", "t0_ms", "ports"], this.watcher.wanted());
    if (signal.aborted) {
      sayGoodbye(about.id); // something else was wanted before this was there
      return;
    }
    this.id = about.id;
    this.watcher.opened(about);
  }

  /** Ask for something that tells the server's clock, and learn from it. */
  async #timed(asking) {
    const sent = performance.now();
    const answer = await asking();
    this.clock.learn(sent, answer.now_ms, performance.now());
    return answer;
  }
}

/** End a session, by a message that outlives the page, which may be closing. */
function sayGoodbye(id) {
  navigator.sendBeacon(`session/${id}/end`, new Blob(["{}"], { type: "application/json" }));
}
