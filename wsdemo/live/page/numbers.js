/** The numbers of a side: for the table, and for what its head says in large type. */

import { pollsDue, predict } from "./theory.js";

/** Return what a side measured, and what theory expects of it; null for what is not known (yet). */
export function numbers(side, { schedule, nowS, intervalS, ratePerS, delayS, bytes }) {
  const { tally } = side;
  const theory = predict(side.transport.habit, { schedule, walk: side.walk, nowS, intervalS, ratePerS, delayS });
  const measured = {
    requests: tally.requests,
    judged: side.judged,
    wasted: tally.wasted,
    share: ratio(tally.wasted, side.judged),
    poisson: null,
    latency: ratio(tally.latencySumS, tally.timed),
    worst: tally.timed > 0 ? tally.latencyWorstS : null,
    updates: tally.timed,
    lost: side.lost,
    bytes,
  };
  const expected = {
    requests: theory.requests,
    wasted: theory.wasted === null ? null : Math.round(theory.wasted * theory.requests),
    share: theory.wasted,
    poisson: theory.poisson,
    latency: theory.latency,
    law: theory.law,
    worst: theory.worst,
    updates: schedule.updates,
    lost: 0,
    bytes: null,
  };
  const notMade = side.polls ? Math.max(0, pollsDue(nowS - schedule.sinceS, intervalS) - tally.requests) : 0;
  return { measured, expected, notMade };
}

function ratio(part, whole) {
  return whole > 0 ? part / whole : null;
}
