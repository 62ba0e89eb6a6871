/** Long polling: the server holds the answer back until there is news; then ask again at once. */

import { LONG_POLL_TIMEOUT_S } from "./theory.js";
import { backoff, sleep } from "./waits.js";

export async function hear(side, url, signal) {
  let attempt = 0;
  while (!signal.aborted) {
    const request = side.asks();
    try {
      const response = await fetch(side.ask(url), {
        cache: "no-store",
        // Twice the timeout: a server that stays silent for longer than it promised is gone.
        signal: AbortSignal.any([signal, AbortSignal.timeout(2000 * LONG_POLL_TIMEOUT_S)]),
      });
      const answer = await response.json();
      if (!response.ok) {
        throw new Error(answer.error);
      }
      if (!side.placed(answer)) {
        throw new Error("another run answers here");
      }
      side.opened();
      attempt = 0;
      side.takes(answer.updates, request);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      const wait = backoff(attempt);
      side.failed(error, wait);
      attempt += 1;
      await sleep(wait, signal);
    }
  }
}
