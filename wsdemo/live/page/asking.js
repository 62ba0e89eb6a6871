/** Asking: one question and its answer, and the loop of those who ask by a timetable. For the transports that ask. */

import { backoff, sleep } from "./waits.js";

const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Ask where `side` stands, and give it what the answer brings for `request`. Throws when nobody answers within
 * `timeoutMs`, when the server says no, when another run answers, and when `signal` is aborted.
 */
export async function ask(side, url, request, { cache, timeoutMs, signal }) {
  const response = await fetch(side.ask(url), {
    cache,
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.error);
  }
  if (!side.placed(answer)) {
    throw new Error("another run answers here");
  }
  side.opened();
  const seq = side.seq;
  side.takes(answer.updates, request);
  // A long answer comes in parts. The rest is asked for at once and counts as no request, since no timetable asks for
  // it. A part that fails is left to the next question.
  if (answer.more && side.seq > seq) {
    await ask(side, url, null, { cache, timeoutMs, signal }).catch(() => {});
  }
}

/** Ask `url` at the times of the side's timetable until the signal is aborted. cache: as for `fetch`. */
export async function poll(side, url, signal, cache) {
  let attempt = 0;
  while (!signal.aborted) {
    const dueS = await side.nextPoll(signal);
    if (signal.aborted) {
      return;
    }
    const request = side.asks(dueS);
    try {
      await ask(side, url, request, { cache, timeoutMs: ANSWER_TIMEOUT_MS, signal });
      attempt = 0;
    } catch (error) {
      if (signal.aborted) {
        side.unasked(request);
        return;
      }
      const wait = backoff(attempt);
      side.failed(error, wait);
      attempt += 1;
      await sleep(wait, signal); // the polls that were due meanwhile are not made, and the table says so
    }
  }
}
