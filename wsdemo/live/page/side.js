/** One side of the page as a reader: its place in the log, its timetable, its tally, and the transport it hears by. */

import { NoAnswer } from "./net.js";
import { DIRECT, RELAYED, updatesUrls } from "./place.js";
import { Walk } from "./theory.js";
import { Trouble } from "./trouble.js";
import { backoff, sleep } from "./waits.js";

/** A server that asks for more is not believed. */
const MOST_SPREAD_S = 300;
/** So many signs of life of the server, a second apart, tell of news before a line that brings none is taken for dead. */
const SILENT_BEATS = 2;
/** The same for a line that has brought nothing yet: one to a distant server, through a proxy, takes a while to open. */
const UNOPENED_BEATS = 8;

/**
 * name: "left" or "right"; transport: its row of the registry, with `hear` of its file; run: gives `nowS()` (seconds of
 * the run), `epoch`, `session`, and the `way` by which sides are reached; watcher: told of what happens (`heard(side, update)`, `asked(side, request)`, `changed(side)`).
 */
export class Side {
  #hearing = null;
  #wake = null;
  /** The question that is not answered yet, or the stream that goes on. */
  #open = null;
  /** For how many beats it has been behind, at which update. */
  #behind = { seq: -1, beats: 0 };

  constructor(name, transport, run, watcher) {
    Object.assign(this, { name, transport, run, watcher, seq: 0, lost: 0, last: null, state: { kind: "waiting" } });
    this.spreadS = 0;
    this.trouble = new Trouble();
    this.setTimetable(0, 1, 0);
  }

  /** Whether it asks by a timetable. */
  get polls() {
    return this.transport.habit === "asks";
  }

  /** Whether it holds one connection for ever. */
  get holds() {
    return this.transport.habit === "streamed";
  }

  /** Whether it failed from the first, by either way, as where a proxy lets nothing of the kind through. */
  get neverOpens() {
    return this.state.kind === "broken" && !this.everOpened && this.attempt >= 2;
  }

  /** Forget the run that was: another one begins, with update 1. */
  begin() {
    this.seq = 0;
    this.lost = 0;
    this.last = null;
    this.trouble.clear();
  }

  /** Of how many requests it is known whether they were wasted. */
  get judged() {
    const { requests, answered, unanswered } = this.tally;
    return this.polls ? answered : requests - unanswered;
  }

  /**
   * Count from now on. A question that is held, or a stream, was asked for once and serves on, so it counts; a poll on
   * its way belongs to the timetable by which it was made. knownSeq: the newest update that either side has heard.
   */
  setTimetable(sinceS, intervalS, knownSeq) {
    const open = this.polls ? null : this.#open;
    this.timetable = { sinceS, intervalS };
    this.tally = {
      requests: 0, answered: 0, unanswered: 0, wasted: 0, heard: 0, timed: 0, latencySumS: 0, latencyWorstS: 0,
      duplicates: 0, failures: 0, answerWorstS: 0,
    };
    this.walk = new Walk(this.timetable, { hadSeq: this.seq, knownSeq, askedS: open?.atS });
    if (this.#hearing !== null) {
      this.walk.connects = 1;
    }
    if (open !== null) {
      this.tally.requests = 1;
      this.tally.answered = Number(open.answered);
      open.tally = this.tally;
    }
    this.#wake?.abort();
  }

  /**
   * Hear by the session's port for this side, until `disconnect`: by the way that the run has found to work. via: the port
   * that leads there, if that is another one, with a line in trouble behind it.
   */
  connect(port, via = port) {
    const everOpened = port === this.port && this.everOpened;
    this.disconnect();
    this.#hearing = new AbortController();
    const urls = updatesUrls({ port: via, session: this.run.session, side: this.name }, this.transport.scheme);
    Object.assign(this, { port, urls, way: this.run.way, attempt: 0, everOpened });
    this.walk.connect(this.run.nowS());
    this.#set({ kind: "connecting" });
    // Not awaited: it ends with the signal, and what else it throws is a fault, which is the window's to report.
    this.transport.hear(this, urls[this.way], this.#hearing.signal);
  }

  disconnect() {
    this.#hearing?.abort();
    this.#hearing = null;
    this.#open = null;
    this.#set({ kind: "waiting" });
  }

  /**
   * Take over how far the news is, as the server says once a second. A half-open line tells nobody: who is told of news
   * that does not come, beat after beat, leaves the line. Polls have a time limit of their own.
   */
  beat(seq) {
    const isBehind = !this.polls && this.#open !== null && seq > this.seq;
    const beats = isBehind && this.#behind.seq === this.seq ? this.#behind.beats + 1 : 0;
    this.#behind = { seq: isBehind ? this.seq : -1, beats };
    if (beats >= (this.state.kind === "open" ? SILENT_BEATS : UNOPENED_BEATS)) {
      this.#behind.beats = 0;
      this.leaveLine?.();
    }
  }

  // What the transports call.

  /** Return the address to ask at next: `url`, or that of the way to be tried after it, with this side's place. */
  ask(url) {
    const asked = new URL(this.urls?.[this.way] ?? url);
    asked.search = new URLSearchParams({ after: this.seq, epoch: this.run.epoch });
    return asked;
  }

  /**
   * Wait for the next poll of the timetable, `since + T/2 + k T`, and return when it was due. A poll that the browser
   * could not start in time starts late, one that is a whole interval late is left out: no burst after a sleep.
   */
  async nextPoll(signal) {
    while (!signal.aborted) {
      const table = this.timetable;
      const { sinceS, intervalS } = table;
      const passed = Math.floor((this.run.nowS() - sinceS) / intervalS - 0.5); // the newest poll that is due by now
      const k = Math.max(passed, (table.done ?? -1) + 1, 0);
      const dueS = sinceS + (k + 0.5) * intervalS;
      const waitMs = (dueS - this.run.nowS()) * 1000;
      if (waitMs <= 0) {
        table.done = k;
        return dueS;
      }
      this.#wake = new AbortController();
      await sleep(waitMs, AbortSignal.any([signal, this.#wake.signal]));
    }
    return null;
  }

  /** Count a request that is about to be sent. */
  asks(dueS = this.run.nowS()) {
    this.tally.requests += 1;
    const request = { atS: dueS, tally: this.tally, wasted: null, answered: false };
    this.#open = request;
    this.watcher.asked(this, request);
    return request;
  }

  /** Take a request back that was cut off by a control, not by a fault. */
  unasked(request) {
    request.tally.requests -= 1;
    request.cut = true;
    if (request.tally === this.tally) {
      this.timetable.done -= 1; // so that it is made when the run goes on
    }
  }

  /** Take over that it is connected. Throws where another run answers: the port may be somebody else's by now. */
  opens(position) {
    if (position.epoch !== this.run.epoch) {
      throw new NoAnswer("another run answers here");
    }
    Object.assign(this, { attempt: 0, everOpened: true });
    this.#told(position);
    this.trouble.opened(this.run.nowS());
    this.run.way = this.way;
    if (this.holds && this.#open !== null && !this.#open.answered) {
      this.#answer(this.#open);
    }
    this.#set({ kind: "open" });
  }

  /** Take over how long its readers should spread when they come back, if the server says so. */
  #told(message) {
    if (message.spread_s > 0 && message.spread_s <= MOST_SPREAD_S) {
      this.spreadS = message.spread_s;
    }
  }

  /** Take over that the line has failed; return how long to wait before the next attempt, in milliseconds. */
  failed() {
    const waitMs = backoff(this.attempt, this.spreadS);
    this.attempt += 1;
    if (!this.everOpened) {
      this.way = this.way === DIRECT ? RELAYED : DIRECT;
    }
    const { tally, answered } = this.#open ?? { tally: this.tally, answered: true };
    tally.failures += 1;
    tally.unanswered += Number(!answered);
    this.#open = null;
    this.trouble.noticed(this.run.nowS());
    this.#set({ kind: "broken", untilMs: performance.now() + waitMs });
    return waitMs;
  }

  /** Take updates; those that are new are heard, a gap in their numbers is counted as lost. */
  takes(updates, request = null) {
    const nowS = this.run.nowS();
    let fresh = 0;
    for (const update of updates) {
      this.#told(update);
      if (update.seq <= this.seq) {
        this.tally.duplicates += 1;
        continue;
      }
      this.#misses(update.seq - this.seq - 1, nowS);
      this.seq = update.seq;
      fresh += 1;
      this.#hear({ seq: update.seq, atS: update.at_s, heardS: nowS, data: update.data });
    }
    if (request !== null) {
      this.#answer(request);
      request.tally.answerWorstS = Math.max(request.tally.answerWorstS, nowS - request.atS);
      this.#open = null;
      request.wasted = fresh === 0;
      request.tally.wasted += fresh === 0;
      if (fresh === 0) {
        this.last = null;
      }
      if (request.tally !== this.tally) {
        this.walk.hadSeq = this.seq; // a poll of the old timetable has brought it, so the first of the new one will not
      }
      this.watcher.changed(this);
    }
  }

  #misses(count, nowS) {
    if (count > 0) {
      this.lost += count;
      this.trouble.lost(count, nowS);
    }
  }

  #answer(request) {
    request.answered = true;
    request.tally.answered += 1;
  }

  #hear(update) {
    const latencyS = update.heardS - update.atS;
    this.tally.heard += 1;
    this.trouble.heard(update.atS, update.heardS);
    // An update from before the counting began waited under other rules.
    if (update.atS >= this.timetable.sinceS) {
      this.tally.timed += 1;
      this.tally.latencySumS += latencyS;
      this.tally.latencyWorstS = Math.max(this.tally.latencyWorstS, latencyS);
    }
    this.last = { ...update, latencyS };
    this.watcher.heard(this, this.last);
  }

  #set(state) {
    const old = this.state;
    this.state = state;
    if (old.kind !== state.kind || state.kind === "broken") {
      this.watcher.changed(this);
    }
  }
}
