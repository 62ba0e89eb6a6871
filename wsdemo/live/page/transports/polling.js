/** Polling: ask at absolute times, whether or not there is news. */

import { poll } from "../asking.js";

export function hear(side, url, signal) {
  return poll(side, url, signal, "no-store");
}
