/** Server-sent events: one answer that never ends. */

import { again, stream } from "../asking.js";
import { parse } from "../net.js";

export function hear(side, url, signal) {
  return again(side, signal, async (line) => {
    side.asks();
    const asked = side.ask(url);
    const source = new EventSource(asked, { withCredentials: asked.origin === location.origin });
    try {
      await stream(line, (fail, handler) => {
        // EventSource would come back by itself, but after the same wait each time, and to this port for ever.
        source.onerror = () => fail("the stream has ended");
        source.addEventListener("position", handler((event) => side.opens(parse(event.data, ["epoch"]))));
        source.onmessage = handler((event) => side.takes([parse(event.data, ["seq"])]));
      });
    } finally {
      source.close();
    }
  });
}
