/**
 * The server's clock, as well as this page can know it.
 *
 * A question that left at `sent` and was answered at `received` met the server somewhere in between. Taken as the
 * middle, the error is at most half the round trip, so the quickest of the last minute's round trips is the one to keep.
 */

const KEEP_MS = 60_000;

export class Clock {
  #samples = [];

  /** Take over the server's `nowMs` from one round trip; both moments of the page are `performance.now()`. */
  learn(sent, nowMs, received) {
    this.#samples.push({ at: received, offset: nowMs - (sent + received) / 2, roundTrip: received - sent });
    this.#samples = this.#samples.filter((sample) => received - sample.at < KEEP_MS);
    this.best = this.#samples.reduce((least, sample) => (sample.roundTrip < least.roundTrip ? sample : least));
  }

  /** Forget everything: another server, another clock. */
  forget() {
    this.#samples = [];
  }

  /** The server's clock now, in milliseconds. */
  now() {
    return performance.now() + this.best.offset;
  }

  /** How far off it may be, in milliseconds. */
  get error() {
    return this.best.roundTrip / 2;
  }
}
