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

/**
 * How long to wait before the nth attempt in a row (0, 1, 2 …), in milliseconds: growing, and jittered.
 * Without the jitter every page of a restarted server would come back in the same instant.
 */
export function backoff(attempt) {
  return (0.5 + Math.random() / 2) * Math.min(10_000, 250 * 2 ** Math.min(attempt, 10));
}
