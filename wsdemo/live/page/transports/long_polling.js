/** Long polling: the server holds the answer back until there is news; then ask again at once. */

import { again, ask } from "../asking.js";
import { LONG_POLL_TIMEOUT_S } from "../theory.js";

export function hear(side, url, signal) {
  // Twice the timeout: a server that stays silent for longer than it promised is gone.
  const timeoutMs = 2000 * LONG_POLL_TIMEOUT_S;
  return again(side, signal, (line) => ask(side, url, side.asks(), { timeoutMs, signal: line }));
}
