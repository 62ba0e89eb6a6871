/** Long polling: the server holds the answer back until there is news; then ask again at once. */

import { ask } from "../asking.js";
import { LONG_POLL_TIMEOUT_S } from "../theory.js";
import { backoff, sleep } from "../waits.js";

export async function hear(side, url, signal) {
  let attempt = 0;
  while (!signal.aborted) {
    const request = side.asks();
    try {
      // Twice the timeout: a server that stays silent for longer than it promised is gone.
      await ask(side, url, request, { cache: "no-store", timeoutMs: 2000 * LONG_POLL_TIMEOUT_S, signal });
      attempt = 0;
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
