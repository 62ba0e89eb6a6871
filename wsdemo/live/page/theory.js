/**
 * What the two sides should cost, from the updates known so far. The formulas are those of wsdemo/theory/; the first
 * few polls, whose phase is known, and long polls are walked along the schedule. Times are seconds of the run; `d` is
 * the one-way delay.
 */

export const LONG_POLL_TIMEOUT_S = 25;

/** Of fewer polls than these, the mean over all phases says little, and the times of these very polls are known. */
export const FEW_POLLS = 30;

/** The schedule as far as anybody has heard it, since a moment: sums only, so it never grows. */
export class Schedule {
  constructor(sinceS) {
    this.sinceS = sinceS;
    this.updates = 0;
    this.seq = 0;
    this.lastS = null;
  }

  /** Begin to count anew from a moment, for this interval. What is known of the order of updates stays. */
  restart(sinceS, intervalS) {
    Object.assign(this, { sinceS, intervalS, updates: 0, lastS: null, usefulS: 0 });
  }

  /** Take over an update that either side heard; return whether it is new to both. */
  learn(seq, atS) {
    if (seq <= this.seq) {
      return false;
    }
    this.seq = seq;
    if (atS >= this.sinceS) {
      if (this.lastS !== null) {
        this.usefulS += Math.min(atS - this.lastS, this.intervalS);
      }
      this.lastS = atS;
      this.updates += 1;
    }
    return true;
  }

  /** The share of polls that find nothing, given this schedule: 1 - sum(min(gap_i, T)) / elapsed. */
  wastedShare(nowS) {
    const open = this.lastS === null ? 0 : Math.min(Math.max(0, nowS - this.lastS), this.intervalS);
    const elapsed = nowS - this.sinceS;
    return elapsed > 0 ? 1 - (this.usefulS + open) / elapsed : null;
  }
}

/**
 * One side's way along the schedule: which of its own questions bring news, if each is asked when it should be.
 * hadSeq: what the side had heard when it began; knownSeq: the newest update that anybody had heard of then;
 * askedS: since when a question of it has been held open, the beginning of the way if none is.
 */
export class Walk {
  /** How often it connected: each time it asks once, whatever its habit. */
  connects = 0;
  /** Polls that brought news, the first one apart, and how long the updates they brought had waited. */
  #useful = 0;
  #waited = { count: 0, sumS: 0, mostS: 0 };
  /** The newest poll that brings news, which may not be due yet, and what it brings. */
  #next = { poll: 0, count: 0, sumS: 0, mostS: 0 };
  #firstBrings = false;
  /** Long polls that an update answered, those that ended without one; whether the first was answered at once. */
  #answers = 0;
  #timeouts = 0;
  #early = false;
  #settled = false;
  /** When the newest long poll reaches the server, and whether news waits there for it; when the last had its answer. */
  #arrivesS = null;
  #isAwaited = false;
  #answeredS = -Infinity;
  /** How long updates waited between two long polls. */
  #between = { count: 0, sumS: 0, mostS: 0 };

  constructor({ sinceS, intervalS }, { hadSeq, knownSeq, askedS = sinceS }) {
    Object.assign(this, { sinceS, intervalS, hadSeq, beforeSeq: knownSeq, askedS });
  }

  /** It connects, and asks. */
  connect(nowS) {
    if (this.connects > 0) {
      this.#answers += this.#atOnce;
      this.#early = false;
      this.#settled = true;
    }
    this.connects += 1;
    this.askedS = nowS;
    this.#arrivesS = null;
  }

  /** Take over an update that is new to both sides. delayS: the way from one end to the other, as far as it is known. */
  learn(seq, atS, delayS = 0) {
    if (atS < this.sinceS) {
      this.beforeSeq = Math.max(this.beforeSeq, seq);
      return;
    }
    if (atS < this.askedS) {
      this.#early = true; // it was there before the question
    } else {
      this.#answer(atS, delayS);
    }
    const poll = Math.max(0, Math.ceil((atS - this.sinceS) / this.intervalS - 0.5));
    if (poll > this.#next.poll) {
      this.#settle();
      this.#next = { poll, count: 0, sumS: 0, mostS: 0 };
    }
    this.#firstBrings ||= poll === 0;
    add(this.#next, { count: 1, sumS: this.#wait(poll, atS), mostS: this.#wait(poll, atS) });
  }

  /** Whether it lacked something when it began: then its first question brings that. */
  get behind() {
    return this.beforeSeq > this.hadSeq;
  }

  /** What polls due by now should have brought: {useful, count, sumS, mostS}, the waits of `count` updates. */
  polled(due) {
    const first = due > 0 && (this.behind || this.#firstBrings);
    const next = this.#next.poll < due ? this.#next : { count: 0, sumS: 0, mostS: 0 };
    const useful = Number(first) + this.#useful + Number(next.count > 0 && next.poll > 0);
    return { useful, ...add({ ...this.#waited }, next) };
  }

  /**
   * What a side that holds one question after the other should have asked, {requests, timeouts, count, sumS}: the waits
   * of `count` updates. An answer counts, and the question after it, once it is there.
   */
  held(nowS, delayS = 0) {
    let [arrivesS, isAwaited] = this.#newest(delayS);
    const { count, sumS } = this.#between;
    const coming = Number(Math.max(this.#answeredS, isAwaited ? arrivesS : -Infinity) + delayS > nowS);
    if (isAwaited) {
      arrivesS += 2 * delayS;
    }
    const timeouts = this.#timeouts + timeoutsBy(nowS - delayS, arrivesS, delayS);
    return { requests: this.connects + this.#atOnce + this.#answers - coming + timeouts, timeouts, count, sumS };
  }

  /** How many long polls since it connected were answered at once, by what there was before them: one or none. */
  get #atOnce() {
    return Number(this.#early || (this.behind && !this.#settled));
  }

  /** When the newest long poll reaches the server, and whether it is answered at once there. */
  #newest(delayS) {
    return this.#arrivesS === null ? [this.askedS + delayS, this.#atOnce > 0] : [this.#arrivesS, this.#isAwaited];
  }

  /** An update answers the question that is held, or waits for the next one, which carries all that came meanwhile. */
  #answer(atS, delayS) {
    let [arrivesS, isAwaited] = this.#newest(delayS);
    const isWithTheLast = atS === this.#answeredS;
    if (isAwaited && atS > arrivesS) {
      this.#answeredS = arrivesS;
      [arrivesS, isAwaited] = [arrivesS + 2 * delayS, false];
    }
    const timeouts = isWithTheLast ? 0 : timeoutsBy(atS, arrivesS, delayS, true);
    this.#timeouts += timeouts;
    arrivesS += timeouts * (LONG_POLL_TIMEOUT_S + 2 * delayS);
    this.#answers += Number(!isAwaited && !isWithTheLast);
    if (isWithTheLast) {
      add(this.#between, { count: 1, sumS: 0, mostS: 0 });
    } else if (atS > arrivesS) {
      add(this.#between, { count: 1, sumS: 0, mostS: 0 });
      this.#answeredS = atS;
      arrivesS = atS + 2 * delayS;
    } else {
      add(this.#between, { count: 1, sumS: arrivesS - atS, mostS: arrivesS - atS });
      isAwaited = true;
    }
    [this.#arrivesS, this.#isAwaited] = [arrivesS, isAwaited];
  }

  #wait(poll, atS) {
    return this.sinceS + (poll + 0.5) * this.intervalS - atS;
  }

  #settle() {
    this.#useful += Number(this.#next.count > 0 && this.#next.poll > 0);
    add(this.#waited, this.#next);
  }
}

/** How many long polls end without news by a moment, if the first arrives at `arrivesS`; `strictly` before it. */
function timeoutsBy(nowS, arrivesS, delayS, strictly = false) {
  const passed = (nowS - arrivesS - LONG_POLL_TIMEOUT_S) / (LONG_POLL_TIMEOUT_S + 2 * delayS);
  return Math.max(0, strictly ? Math.ceil(passed) : Math.floor(passed) + 1);
}

function add(sums, { count, sumS, mostS }) {
  return Object.assign(sums, {
    count: sums.count + count, sumS: sums.sumS + sumS, mostS: Math.max(sums.mostS, mostS),
  });
}

/**
 * What theory expects of a transport, by its habit: see numbers.js for what each number is called on the page. `law` is
 * the mean latency that it has in the long run.
 */
const EXPECTED = {
  asks: ({ schedule, walk, nowS, intervalS, ratePerS, delayS }) => {
    const requests = pollsDue(nowS - schedule.sinceS, intervalS);
    const law = intervalS / 2 + delayS;
    const always = { requests, law, poisson: Math.exp(-ratePerS * intervalS) };
    if (requests >= FEW_POLLS) {
      return { ...always, wasted: schedule.wastedShare(nowS), latency: law, worst: intervalS + delayS };
    }
    const { useful, count, sumS, mostS } = walk.polled(requests);
    return {
      ...always,
      wasted: requests > 0 ? 1 - useful / requests : null,
      latency: count > 0 ? sumS / count + delayS : null,
      worst: count > 0 ? mostS + delayS : null,
    };
  },
  held: ({ walk, nowS, ratePerS, delayS }) => {
    const { requests, timeouts, count, sumS } = walk.held(nowS, delayS);
    const gapS = 2 * delayS;
    const silentS = -Math.expm1(-ratePerS * LONG_POLL_TIMEOUT_S) / ratePerS; // until an update or the timeout
    const cycleS = gapS + Math.exp(-ratePerS * gapS) * silentS;
    return {
      requests,
      wasted: requests > 0 ? timeouts / requests : null,
      poisson: Math.exp(-ratePerS * LONG_POLL_TIMEOUT_S),
      latency: delayS + (count > 0 ? sumS / count : 0),
      law: delayS + gapS * delayS / cycleS,
      worst: 3 * delayS, // an update that comes between two requests waits for two transits more (RFC 6202)
    };
  },
  streamed: ({ walk, delayS }) => (
    { requests: walk.connects, wasted: 0, poisson: 0, latency: delayS, law: delayS, worst: null }
  ),
};

/** Return what theory expects of a transport with this habit at a moment: of the schedule, and of its side's way. */
export function predict(habit, moment) {
  return EXPECTED[habit](moment);
}

/** How many polls are due within `elapsedS`, the first after half an interval. */
export function pollsDue(elapsedS, intervalS) {
  return Math.max(0, Math.floor(elapsedS / intervalS - 0.5) + 1);
}
