/** The page of the echo server: one WebSocket, and a log of what happens to it. */

import { keep } from "./shared/address.js";
import { Words, preferred } from "./shared/words.js";
import { TEXTS } from "./texts.js";

const LANGUAGES = Object.keys(TEXTS);
const MAX_ENTRIES = 500; // the log of a page that stays open must not grow without end

const byId = (id) => document.getElementById(id);

// Relative to the page, so that it is right at "/" and behind a proxy at "/user/me/proxy/8000/" alike.
const address = new URL("ws", location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
address.search = address.hash = "";

let words = new Words(TEXTS, preferred(LANGUAGES));
let socket = null; // the one that is opening, open or closing
const sayings = new WeakMap(); // of each entry of the log, how to say it in the language of the moment

/** Note something in the log; `say` is given the words, and again when the language changes. */
function note(kind, say) {
  const log = byId("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  const entry = document.createElement("p");
  entry.dataset.kind = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  const what = document.createElement("span");
  what.className = "kind";
  entry.append(time, what, document.createElement("span"));
  sayings.set(entry, say);
  write(entry);
  log.append(entry);
  while (log.childElementCount > MAX_ENTRIES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight; // who scrolled up to read is left in peace
  byId("clear").disabled = false;
}

function write(entry) {
  const [, what, text] = entry.children;
  what.textContent = words.get(`kind.${entry.dataset.kind}`);
  text.textContent = sayings.get(entry)(); // never innerHTML: what comes from outside is text and must stay text
}

function dress() {
  words.dress();
  byId("language").lang = LANGUAGES.find((language) => language !== words.language);
  byId("log").dataset.empty = words.get("empty");
  [...byId("log").children].forEach(write);
  show();
}

function show() {
  const state = socket === null ? "closed" : ["opening", "open", "closing", "closed"][socket.readyState];
  byId("state").textContent = words.get(`state.${state}`);
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
    note("opened", () => words.get("handshake"));
    show();
  };
  mine.onmessage = ({ data }) => {
    note("received", () => (typeof data === "string" ? data : words.get("bytes", { count: data.size })));
  };
  mine.onclose = ({ code, reason }) => {
    socket = null;
    if (opened) {
      note("closed", () => words.get(asked ? "closed" : "unasked", ending(code, reason)));
    } else if (asked) {
      note("closed", () => words.get("givenUp"));
    } else {
      note("failed", () => words.get(window.parent === window ? "failed" : "failedInFrame"));
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

function ending(code, reason) {
  const meaning = words.get(words.has(`code.${code}`) ? `code.${code}` : "code.other");
  return { code: String(code), meaning, reason: reason ? ` (${reason})` : "" };
}

byId("open").addEventListener("click", open);
byId("close").addEventListener("click", () => socket?.end());
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket?.readyState !== WebSocket.OPEN) return;
  const text = byId("text").value;
  socket.send(text);
  note("sent", () => text);
  byId("text").select();
});
byId("clear").addEventListener("click", () => {
  byId("log").replaceChildren();
  byId("clear").disabled = true;
  byId("log").focus();
});
byId("language").addEventListener("click", () => {
  words = new Words(TEXTS, LANGUAGES.find((language) => language !== words.language));
  keep("language", words.language);
  dress();
});

byId("address").textContent = address.href;
dress();
