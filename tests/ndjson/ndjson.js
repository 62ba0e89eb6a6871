/** Newline-delimited JSON: one answer that never ends, read line by line. */

import { again } from "../asking.js";
import { NoAnswer, parse } from "../net.js";

export function hear(side, url, signal) {
  return again(side, signal, async () => {
    side.asks();
    let placed = false;
    for await (const line of lines(new Request(side.ask(url), { cache: "no-store", signal }))) {
      if (placed) {
        side.takes([parse(line, ["seq"])]);
      } else {
        side.opens(parse(line, ["epoch"]));
        placed = true;
      }
    }
    throw new NoAnswer("the stream has ended");
  });
}

/** Yield each line of an answer as it comes; an empty one is a heartbeat. Throws `NoAnswer` when the line breaks. */
async function* lines(request) {
  const response = await answered(() => fetch(request));
  if (!response.ok) {
    throw new NoAnswer(response.statusText);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await answered(() => reader.read());
    if (done) {
      return;
    }
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts.filter((line) => line !== "");
  }
}

async function answered(ask) {
  try {
    return await ask(); // fails with a TypeError, like a slip in the code, when nobody answers
  } catch (error) {
    throw new NoAnswer(error.message, { cause: error });
  }
}
