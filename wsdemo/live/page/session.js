/** The session: the feed and the two ports that the server keeps for this page, kept alive, and had again if lost. */

import { backoff, sleep } from "./waits.js";

const BEAT_MS = 1000;
const ANSWER_TIMEOUT_MS = 5000;

/** The server itself said no, not a proxy before it. status: the HTTP status; message: the server's own sentence. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Send a small message to the page's server, or ask it (`body` left out); return its answer. */
export async function tell(path, body, signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, { cache: "no-store", signal, ...(body === undefined ? {} : post) });
  const answer = await response.json(); // fails on the error page of a proxy, behind which nobody answers
  if (!response.ok) {
    throw typeof answer.error === "string" ? new Refused(response.status, answer.error) : new Error(response.statusText);
  }
  return answer;
}

/**
 * Beats once a second. clock: learns from every answer; watcher: told of `opened(about)`, `beat(answer)`,
 * `unreachable(waitMs)`, `refused(error, waitMs)`; wanted(): gives the recipe for a session as of now.
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

  async #keep(signal) {
    let attempt = 0;
    while (!signal.aborted) {
      let wait = BEAT_MS;
      try {
        if (this.id === null) {
          await this.#open(signal);
        } else {
          await this.beat();
        }
        attempt = 0;
      } catch (error) {
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
      await this.#ask("clock");
    }
    if (signal.aborted) {
      return;
    }
    const about = await tell("session", this.watcher.wanted());
    if (signal.aborted) {
      sayGoodbye(about.id); // something else was wanted before this was there
      return;
    }
    this.id = about.id;
    this.watcher.opened(about);
  }

  /** Say that the page is there; learn the counters and the clock. */
  async beat() {
    this.watcher.beat(await this.#ask(`session/${this.id}/beat`, {}));
  }

  /** Change the transport of a side; return its new port. */
  async change(side, transport) {
    return (await tell(`session/${this.id}/side`, { side, transport })).port;
  }

  async #ask(path, body) {
    const sent = performance.now();
    const answer = await tell(path, body);
    this.clock.learn(sent, answer.now_ms, performance.now());
    return answer;
  }
}

/** End a session, by a message that outlives the page, which may be closing. */
function sayGoodbye(id) {
  navigator.sendBeacon(`session/${id}/end`, new Blob(["{}"], { type: "application/json" }));
}
