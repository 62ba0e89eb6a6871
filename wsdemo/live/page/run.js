/** The run: its recipe, where it stands, and what both sides have counted. It knows no view; a watcher is told. */

import { numbers } from "./numbers.js";
import { DIRECT } from "./place.js";
import { Side } from "./side.js";
import { Schedule } from "./theory.js";
import { NONE } from "./trouble.js";

export const SIDES = ["left", "right"];

/** Return {left, right}, each as `make(name)` gives it. */
export function both(make) {
  return Object.fromEntries(SIDES.map((name) => [name, make(name)]));
}

/**
 * config: as the server gives it; transports: its rows, each with `hear`; clock: the server's. Set `watcher` before it
 * begins: `begun()` when another run begins, `heard(side, update, isNew)` and `asked(side, request)` as it happens,
 * `recast()` when a side has another transport, `changed()` when any number has changed.
 */
export class Run {
  /** How many seconds in it stands still; null while it goes on. */
  frozenS = 0;
  paused = false;
  startS = 0;
  epoch = null;
  session = null;
  way = DIRECT;
  watcher = null;
  #t0Ms = 0;
  #seen = { atMs: 0, elapsedS: 0 };
  #bytes = both(() => ({ now: 0, before: 0, base: 0 }));

  constructor(config, transports, clock) {
    Object.assign(this, { config, transports, clock, speed: config.speed, intervalS: config.interval_s });
    this.schedule = new Schedule(0);
    const told = {
      heard: (side, update) => this.watcher.heard(side, update, this.#learn(update)),
      asked: (side, request) => this.watcher.asked(side, request),
      changed: () => this.watcher.changed(),
    };
    this.sides = both((name) => new Side(name, this.#find(config.sides[name]), this, told));
  }

  /** Seconds since its start, by the server's clock. */
  nowS() {
    return this.frozenS ?? (this.clock.now() - this.#t0Ms) / 1000;
  }

  /** The same by the page's own clock: the server's may be another one by now. */
  elapsedS() {
    return this.frozenS ?? this.#seen.elapsedS + (performance.now() - this.#seen.atMs) / 1000;
  }

  /** Seconds since the start of the week. */
  weekS(atS = this.nowS()) {
    return (this.startS + this.speed * atS) % this.config.week_s;
  }

  /** What a server must know to play this run from where it stands. */
  recipe() {
    const { left, right } = both((name) => this.sides[name].transport.name);
    return { speed: this.speed, start_s: this.startS, elapsed_s: Math.max(0, this.elapsedS()), left, right };
  }

  /** Begin another: from a moment of the week, at a speed. It stands still until a server plays it. */
  begin(speed, startS) {
    this.#disconnect();
    Object.assign(this, { speed, startS, frozenS: 0, paused: false });
    this.schedule = new Schedule(0);
    for (const name of SIDES) {
      this.sides[name].begin();
      this.#bytes[name] = { now: 0, before: 0, base: 0 };
    }
    this.watcher.begun();
    this.measureAnew();
  }

  /** A server plays it: go on, by the ports that it gives. */
  goOn(about) {
    Object.assign(this, { epoch: about.epoch, session: about.id, frozenS: null });
    this.#t0Ms = about.t0_ms;
    this.#see();
    for (const name of SIDES) {
      this.#keepBytes(name);
      this.sides[name].trouble.wants(NONE, this.nowS()); // a new session has its lines in order
      this.sides[name].connect(about.ports[name]);
    }
  }

  /** Stand still, and hear nothing. */
  stop() {
    this.frozenS = this.nowS();
    this.#disconnect();
  }

  /** Count from now on: what was counted before happened under other rules. */
  measureAnew() {
    const sinceS = this.nowS();
    this.schedule.restart(sinceS, this.intervalS);
    for (const name of SIDES) {
      this.sides[name].setTimetable(sinceS, this.intervalS, this.schedule.seq);
      this.#bytes[name].base = this.#bytes[name].before + this.#bytes[name].now;
    }
    this.watcher.changed();
  }

  /** Give a side another transport; it hears by it once it is connected to the port that serves it. */
  recast(side, name) {
    side.disconnect();
    side.transport = this.#find(name);
    side.port = null; // what its old port has counted is kept, and must not be counted again
    this.#keepBytes(side.name);
    this.measureAnew();
    this.watcher.recast();
  }

  /** A person wants other trouble for a side; it hears again once it is connected by the way that leads through it. */
  troubles(side, kind) {
    side.trouble.wants(kind, this.nowS());
    side.disconnect();
    this.measureAnew();
  }

  /** Take over the server's counters of both sides, how far the news is, and what it has done to their lines. */
  beat(counters) {
    this.#see();
    this.takeBytes(counters);
    const nowS = this.nowS();
    for (const name of SIDES) {
      const { hits = [] } = counters.sides[name];
      const struck = hits.map(({ kind, at_ms: atMs }) => ({ kind, atMs, atS: (atMs - this.#t0Ms) / 1000 }));
      this.sides[name].trouble.struck(struck, nowS);
      this.sides[name].beat(counters.seq);
    }
  }

  takeBytes({ sides }) {
    for (const name of SIDES) {
      const { port, bytes_sent: sent, bytes_received: received } = sides[name];
      if (port === this.sides[name].port) {
        this.#bytes[name].now = Math.max(this.#bytes[name].now, sent + received); // answers may overtake each other
      }
    }
  }

  /**
   * Count the bytes from these counters on: the last beat did not know of the last second before a change.
   * ports: those of the sides when it changed. Only what they counted belongs to the time before.
   */
  countBytesFrom(counters, ports) {
    this.takeBytes(counters);
    for (const name of SIDES.filter((one) => ports[one] === this.sides[one].port)) {
      this.#bytes[name].base = this.#bytes[name].before + this.#bytes[name].now;
    }
  }

  /** How far off the server's clock may be as this page knows it, in seconds: the best guess of the one-way delay. */
  get delayS() {
    return this.clock.best ? this.clock.error / 1000 : 0;
  }

  /** The same for one side, whose line may have been made slower. */
  delayOf(name) {
    return this.delayS + (this.sides[name].trouble.wanted === "delay" ? this.config.trouble_delay_s : 0);
  }

  /** Every number of this moment, for both sides. */
  numbers() {
    const { schedule } = this;
    const { intervalS } = schedule; // the one that counts: a slider in motion is ahead of it
    const ratePerS = this.speed * this.config.rate_per_s_at_speed_1;
    const nowS = this.nowS();
    return both((name) => {
      const { before, now, base } = this.#bytes[name];
      return numbers(this.sides[name], { schedule, nowS, intervalS, ratePerS, delayS: this.delayOf(name), bytes: before + now - base });
    });
  }

  /** For the console and the tests: everything, unrounded. */
  snapshot() {
    const { speed, startS, intervalS, paused } = this;
    const now = this.numbers();
    return {
      speed, startS, intervalS, paused, nowS: this.nowS(), sinceS: this.schedule.sinceS,
      sides: both((name) => {
        const { transport, state, way, seq, lost, tally, trouble } = this.sides[name];
        return {
          transport: transport.name, state: state.kind, way, seq, lost, ...tally, ...now[name],
          trouble: { wanted: trouble.wanted, spans: trouble.spans(), last: trouble.last() },
        };
      }),
    };
  }

  /** Take over an update that a side has heard; return whether it is new to both. */
  #learn({ seq, atS }) {
    const isNew = this.schedule.learn(seq, atS);
    if (isNew) {
      SIDES.forEach((name) => this.sides[name].walk.learn(seq, atS, this.delayOf(name)));
    }
    return isNew;
  }

  #find(name) {
    return this.transports.find((transport) => transport.name === name);
  }

  #disconnect() {
    SIDES.forEach((name) => this.sides[name].disconnect());
  }

  #see() {
    this.#seen = { atMs: performance.now(), elapsedS: this.nowS() };
  }

  /** A new port counts from 0. */
  #keepBytes(name) {
    this.#bytes[name].before += this.#bytes[name].now;
    this.#bytes[name].now = 0;
  }
}
