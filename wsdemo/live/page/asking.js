/** What the transports of the page share: to try again after trouble, to ask one question, to listen to a stream. */

import { NoAnswer, askJson, onlyTrouble } from "./net.js";
import { sleep } from "./waits.js";

const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Hear `once` after `once`, until the signal is aborted; after trouble, each wait is longer than the one before. `once` is
 * given a signal of its own, which ends as well when the side finds its line dead: see `Side.beat`.
 */
export async function again(side, signal, once) {
  while (!signal.aborted) {
    const line = new AbortController();
    side.leaveLine = () => line.abort();
    try {
      await once(AbortSignal.any([signal, line.signal]));
    } catch (error) {
      onlyTrouble(error);
      if (!signal.aborted) {
        await sleep(side.failed(), signal); // polls that were due meanwhile are not made, and the table says so
      }
    }
  }
}

/**
 * Ask where `side` stands, and give it what the answer brings for `request`. Throws as `askJson` does.
 *
 * A long answer comes in parts. The rest is asked for at once and counts as no request, since no timetable asks for it. A
 * part that fails is left to the next question.
 */
export async function ask(side, url, request, { cache = "no-store", timeoutMs = ANSWER_TIMEOUT_MS, signal }) {
  const answer = await askJson(side.ask(url), ["epoch", "updates"], { cache, timeoutMs, signal });
  side.opens(answer);
  const seq = side.seq;
  side.takes(answer.updates, request);
  if (answer.more && side.seq > seq) {
    await ask(side, url, null, { cache, timeoutMs, signal }).catch(onlyTrouble);
  }
}

/** Ask `url` at the times of the side's timetable until the signal is aborted. cache: as for `fetch`. */
export function poll(side, url, signal, cache) {
  return again(side, signal, async () => {
    const dueS = await side.nextPoll(signal);
    if (signal.aborted) {
      return;
    }
    const request = side.asks(dueS);
    try {
      await ask(side, url, request, { cache, signal });
    } catch (error) {
      if (signal.aborted) {
        side.unasked(request);
      }
      throw error;
    }
  });
}

/**
 * Stay with a stream for as long as it holds. `listen` is given `fail(reason)`, which ends it with trouble, and
 * `handler(handle)`, which makes an event's handler whose errors end it too: thrown to the window alone, they would
 * leave a stream that looks alive.
 */
export function stream(signal, listen) {
  return new Promise((_, reject) => {
    const fail = (reason) => reject(new NoAnswer(reason));
    signal.addEventListener("abort", () => fail("nobody wants to hear any more"), { once: true });
    const handler = (handle) => (event) => {
      try {
        handle(event);
      } catch (error) {
        reject(error);
      }
    };
    listen(fail, handler);
  });
}
