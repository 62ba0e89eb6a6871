/** WebSocket: one held connection, a message only when there is news. */

import { again, stream } from "../asking.js";
import { parse, parseAll } from "../net.js";

const OPEN_TIMEOUT_MS = 8_000;

export function hear(side, url, signal) {
  return again(side, signal, async (line) => {
    side.asks();
    const socket = new WebSocket(side.ask(url));
    let placed = false;
    let timer = 0;
    try {
      await stream(line, (fail, handler) => {
        // A proxy that knows no WebSocket may neither pass the handshake on nor refuse it.
        timer = setTimeout(() => fail("it does not open"), OPEN_TIMEOUT_MS);
        socket.onclose = () => fail("it was closed");
        socket.onmessage = handler((event) => {
          if (placed) {
            side.takes(parseAll(event.data, ["seq"])); // one update, or a list of them
          } else {
            side.opens(parse(event.data, ["epoch"]));
            clearTimeout(timer);
            placed = true;
          }
        });
      });
    } finally {
      clearTimeout(timer);
      socket.onmessage = null; // what was on its way is not for a side that has left
      leave(socket, signal.aborted);
    }
  });
}

/** Close the socket; one that is left while it opens is closed once it is open: browsers warn of what is cut short. */
function leave(socket, isLeft) {
  if (isLeft && socket.readyState === WebSocket.CONNECTING) {
    socket.onopen = () => socket.close();
  } else {
    socket.close();
  }
}
