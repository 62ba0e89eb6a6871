/**
 * What the two sides should cost, from the updates known so far. The formulas are those of wsdemo/theory.py.
 * Times are seconds of the run; `d` is the one-way delay.
 */

export const LONG_POLL_TIMEOUT_S = 25;

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
    Object.assign(this, { sinceS, intervalS, updates: 0, lastS: null, usefulS: 0, timeouts: 0 });
  }

  /** Take over an update that either side heard; return whether it is new to both. */
  learn(seq, atS) {
    if (seq <= this.seq) {
      return false;
    }
    this.seq = seq;
    if (atS >= this.sinceS) {
      const gap = atS - (this.lastS ?? this.sinceS);
      this.timeouts += Math.floor(gap / LONG_POLL_TIMEOUT_S);
      if (this.lastS !== null) {
        this.usefulS += Math.min(gap, this.intervalS);
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

/** What theory expects of a transport, by its habit: see numbers.js for what each number is called on the page. */
const EXPECTED = {
  asks: (schedule, { nowS, intervalS, ratePerS, delayS }) => ({
    wasted: schedule.wastedShare(nowS),
    poisson: Math.exp(-ratePerS * intervalS),
    latency: intervalS / 2 + delayS,
    worst: intervalS + delayS,
    requests: pollsDue(nowS - schedule.sinceS, intervalS),
  }),
  held: (schedule, { nowS, ratePerS, delayS }) => {
    const open = nowS - (schedule.lastS ?? schedule.sinceS);
    const timeouts = schedule.timeouts + Math.floor(open / LONG_POLL_TIMEOUT_S);
    const requests = 1 + schedule.updates + timeouts;
    return {
      wasted: timeouts / requests,
      poisson: Math.exp(-ratePerS * LONG_POLL_TIMEOUT_S),
      latency: delayS,
      worst: 3 * delayS, // an update that comes between two requests waits for two transits more (RFC 6202)
      requests,
    };
  },
  streamed: (_, { delayS }) => ({ wasted: 0, poisson: 0, latency: delayS, worst: null, requests: 1 }),
};

/** Return what theory expects of a transport with this habit at a moment of the schedule. */
export function predict(habit, schedule, moment) {
  return EXPECTED[habit](schedule, moment);
}

/** How many polls are due within `elapsedS`, the first after half an interval. */
export function pollsDue(elapsedS, intervalS) {
  return Math.max(0, Math.floor(elapsedS / intervalS - 0.5) + 1);
}
