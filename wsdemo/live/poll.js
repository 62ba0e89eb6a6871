/** Polling, plain and with ETag: ask at absolute times, whether or not there is news. */

import { ask } from "./ask.js";
import { backoff, sleep } from "./waits.js";

const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Ask `url` at the times of the side's timetable until the signal is aborted.
 *
 * conditional: let the browser's own cache ask with If-None-Match, as it does for any page. The first question after a
 * piece of news has a new address (`after` moved on), so it is answered in full, those after it with 304. Setting the
 * header by hand would make every question two across ports, since CORS asks for leave first.
 */
export async function hear(side, url, signal, conditional = false) {
  let attempt = 0;
  while (!signal.aborted) {
    const dueS = await side.nextPoll(signal);
    if (signal.aborted) {
      return;
    }
    const request = side.asks(dueS);
    try {
      await ask(side, url, request, { cache: conditional ? "no-cache" : "no-store", timeoutMs: ANSWER_TIMEOUT_MS, signal });
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
