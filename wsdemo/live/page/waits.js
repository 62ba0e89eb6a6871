/** Waiting: until a moment, and before a new attempt. */

/** Wait; resolves early, and without complaint, when the signal is aborted. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal?.addEventListener("abort", done);
  });
}

/** A page whose line broke tries again within this time: it may be its own line alone. */
const SOON_MS = 400;
const LEAST_MS = 250;
const LONGEST_MS = 10_000;

/**
 * How long to wait before the nth attempt in a row (0, 1, 2 …), in milliseconds: anything up to a bound that grows.
 * Without the jitter every page of a restarted server would come back in the same instant. spreadS: over how many seconds
 * the server wants its readers to come back, 0 if it has not said so; see `returns` in the package for the rule. A page is
 * not told whether a line was cut or a port is closed, so that only its first attempt is soon.
 */
export function backoff(attempt, spreadS = 0) {
  const spreadMs = Math.max(LEAST_MS, 1000 * spreadS);
  if (attempt === 0) {
    return Math.random() * Math.min(SOON_MS, spreadMs);
  }
  return Math.random() * Math.min(Math.max(LONGEST_MS, spreadMs), spreadMs * 2 ** Math.min(attempt - 1, 10));
}
