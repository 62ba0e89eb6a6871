/** What a side's line has been through: when something happened to it, when the side knew, and when it heard again. */

export const NONE = "none";
const KEEP_S = 120;
/** Clocks of two programs are not quite one: who knew so much too early knew at once. */
const SLACK_S = 0.1;
const MOST_UPDATES = 2000;
const MOST_MARKS = 5000;

export class Trouble {
  /** What a person wants. */
  wanted = NONE;
  #hits = [];
  #marks = [];
  #updates = [];

  /** Another run begins, or another server plays it: its lines are in order. */
  clear() {
    this.wanted = NONE;
    this.#hits = [];
    this.#marks = [];
    this.#updates = [];
  }

  /** Take over what a person wants from now on. */
  wants(kind, nowS) {
    this.wanted = kind;
    this.#mark("changed", nowS);
  }

  /** Take over when the line was struck, as the server tells, the same again and again: [{kind, atS, atMs}]. */
  struck(hits, nowS) {
    const isNew = (hit) => hit.atS > nowS - KEEP_S && !this.#hits.some(({ atMs }) => atMs === hit.atMs);
    this.#hits.push(...hits.filter(isNew));
    this.#forget(nowS);
  }

  /** The side has noticed that its line has failed. */
  noticed(nowS) {
    this.#mark("noticed", nowS);
  }

  /** The side hears by its line. */
  opened(nowS) {
    this.#mark("opened", nowS);
  }

  /** So many updates are missing from what it has heard. */
  lost(count, nowS) {
    this.#mark("lost", nowS, count);
  }

  heard(atS, heardS) {
    this.#updates.push({ atS, heardS });
    this.#updates.splice(0, this.#updates.length - MOST_UPDATES);
  }

  /**
   * Return what happened to the line since `sinceS`, oldest first: {kind, fromS, knownS, toS}, of which the last two are
   * null as long as the side does not know, or does not hear again.
   */
  spans(sinceS = -Infinity) {
    return this.#hits.map((hit, i) => this.#span(hit, this.#hits[i + 1]?.atS ?? Infinity))
      .filter(({ toS }) => toS === null || toS >= sinceS);
  }

  /** Return the newest of them, with how many updates came late and how many were lost; null if there is none. */
  last() {
    const hit = this.#hits.at(-1);
    if (hit === undefined) {
      return null;
    }
    const span = this.#span(hit, Infinity);
    const late = span.toS === null ? 0
      : this.#updates.filter(({ atS, heardS }) => atS < span.toS && heardS >= span.toS).length;
    const gaps = this.#marks.filter(({ what, atS }) => what === "lost" && atS >= hit.atS);
    return { ...span, late, lost: gaps.reduce((sum, { count }) => sum + count, 0) };
  }

  #span({ kind, atS }, endS) {
    const first = (what, sinceS) => this.#marks.find((one) => (
      one.what === what && one.atS >= sinceS && one.atS < endS))?.atS ?? null;
    const changedS = first("changed", atS);
    const knownS = first("noticed", atS - SLACK_S);
    const known = knownS === null ? null : Math.max(knownS, atS);
    if (kind === "delay") {
      return { kind, fromS: atS, knownS: null, toS: changedS ?? finite(endS) };
    }
    return { kind, fromS: atS, knownS: known, toS: first("opened", known ?? atS) ?? finite(endS) };
  }

  #mark(what, atS, count = 0) {
    this.#marks.push({ what, atS, count });
    this.#marks.splice(0, this.#marks.length - MOST_MARKS);
  }

  #forget(nowS) {
    this.#hits = this.#hits.filter(({ atS }) => atS > nowS - KEEP_S);
    this.#marks = this.#marks.filter(({ atS }) => atS > nowS - KEEP_S - SLACK_S);
  }
}

function finite(seconds) {
  return Number.isFinite(seconds) ? seconds : null;
}
