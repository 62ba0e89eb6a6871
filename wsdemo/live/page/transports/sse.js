/** Server-sent events: one answer that never ends. */

import { backoff, sleep } from "../waits.js";

export async function hear(side, url, signal) {
  let attempt = 0;
  while (!signal.aborted) {
    side.asks();
    const source = new EventSource(side.ask(url), { withCredentials: url.origin === location.origin });
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve, { once: true });
      // EventSource would come back by itself, but after the same wait each time, and to this port for ever.
      source.onerror = resolve;
      source.addEventListener("position", (event) => {
        if (side.placed(JSON.parse(event.data))) {
          side.opened();
          attempt = 0;
        } else {
          resolve();
        }
      });
      source.onmessage = (event) => side.takes([JSON.parse(event.data)]);
    });
    source.close();
    if (!signal.aborted) {
      const wait = backoff(attempt);
      side.failed(null, wait);
      attempt += 1;
      await sleep(wait, signal);
    }
  }
}
