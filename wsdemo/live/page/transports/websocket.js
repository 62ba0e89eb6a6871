/** WebSocket: one held connection, a message only when there is news. */

import { backoff, sleep } from "../waits.js";

const OPEN_TIMEOUT_MS = 8_000;

export async function hear(side, url, signal) {
  let attempt = 0;
  while (!signal.aborted) {
    side.asks();
    const socket = new WebSocket(side.ask(url));
    await new Promise((resolve) => {
      // A proxy that knows no WebSocket may neither pass the handshake on nor refuse it.
      const timer = setTimeout(resolve, OPEN_TIMEOUT_MS);
      const end = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
      socket.onclose = end;
      let placed = false;
      socket.onmessage = (event) => {
        const message = JSON.parse(event.data);
        if (placed) {
          side.takes([message]);
        } else if (side.placed(message)) {
          placed = true;
          clearTimeout(timer);
          side.opened();
          attempt = 0;
        } else {
          end();
        }
      };
    });
    socket.onmessage = null;
    socket.close();
    if (!signal.aborted) {
      const wait = backoff(attempt);
      side.failed(null, wait);
      attempt += 1;
      await sleep(wait, signal);
    }
  }
}
