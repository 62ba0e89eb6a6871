/** One question and its answer, for the transports that ask: polling, conditional polling and long polling. */

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
  side.takes(answer.updates, request);
}
