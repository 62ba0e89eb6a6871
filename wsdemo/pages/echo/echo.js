// The page of the echo server: one WebSocket, and a log of what happens to it.
"use strict";

const MAX_ENTRIES = 500; // the log of a page that stays open must not grow without end

const CODES = {
  1000: "normal closure",
  1001: "going away: the server stops, or the page is left",
  1002: "protocol error",
  1003: "this kind of data is not accepted",
  1005: "no code came",
  1006: "the connection broke without a goodbye",
  1007: "the data was not valid text",
  1008: "policy violation",
  1009: "the message was too big",
  1011: "internal error of the server, or it heard nothing for too long",
  1012: "the server restarts",
  1013: "try again later",
  1014: "bad gateway",
};

const byId = (id) => document.getElementById(id);

// Relative to the page, so that it is right at "/" and behind a proxy at "/user/me/proxy/8000/" alike.
const address = new URL("ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = address.hash = "";

let socket = null; // the one that is opening, open or closing

function note(kind, text) {
  const log = byId("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  const entry = document.createElement("p");
  entry.dataset.kind = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  const what = document.createElement("span");
  what.className = "kind";
  what.textContent = kind;
  const words = document.createElement("span");
  words.textContent = text; // never innerHTML: what comes from outside is text and must stay text
  entry.append(time, what, words);
  log.append(entry);
  while (log.childElementCount > MAX_ENTRIES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight; // who scrolled up to read is left in peace
  byId("clear").disabled = false;
}

function show() {
  const state = socket === null ? "closed" : ["opening", "open", "closing", "closed"][socket.readyState];
  byId("state").textContent = state;
  byId("state").dataset.state = state;
  const wanted = { open: socket === null, close: state === "opening" || state === "open", send: state === "open" };
  const focused = document.activeElement;
  for (const [id, on] of Object.entries(wanted)) byId(id).disabled = !on;
  // A focused button that goes grey would drop the keyboard at the top of the page.
  if (focused.disabled) (focused.id === "open" && wanted.close ? byId("close") : byId("text")).focus();
}

function open() {
  if (socket !== null) return;
  let opened = false;
  let asked = false; // whether this page wanted the end
  const mine = new WebSocket(address);
  socket = mine;
  mine.onopen = () => {
    opened = true;
    note("opened", "handshake done");
    show();
  };
  mine.onmessage = ({ data }) => note("received", typeof data === "string" ? data : `${data.size} bytes`);
  mine.onclose = ({ code, reason }) => {
    socket = null;
    const meaning = CODES[code] ?? "no common meaning";
    if (opened) {
      note("closed", `code ${code}, ${meaning}${reason ? ` (${reason})` : ""}${asked ? "" : "; this page did not ask for it"}`);
    } else if (asked) {
      note("closed", "given up before it was open");
    } else {
      note("failed", "no WebSocket could be opened: the server is gone, or it refuses this page");
    }
    show();
  };
  mine.end = () => {
    asked = true;
    mine.close(1000);
    show();
  };
  show();
}

byId("open").addEventListener("click", open);
byId("close").addEventListener("click", () => socket?.end());
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket?.readyState !== WebSocket.OPEN) return;
  const text = byId("text").value;
  socket.send(text);
  note("sent", text);
  byId("text").select();
});
byId("clear").addEventListener("click", () => {
  byId("log").replaceChildren();
  byId("clear").disabled = true;
  byId("log").focus();
});

byId("address").textContent = address.href;
show();
