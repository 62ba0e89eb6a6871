/**
 * Asking over the network, and the names of what can go wrong there. Only here, where a request is made and its answer
 * read, is an error taken for the network's: anything else that is thrown is a fault of the page and must show as one.
 */

const ANSWER_TIMEOUT_MS = 5000;

/** Trouble with the line or the server, which another attempt may mend. */
export class Trouble extends Error {}

/** Nobody answered, or not in time, or what came is not an answer of ours. */
export class NoAnswer extends Trouble {}

/** The server itself said no, not a proxy before it. status: the HTTP status; message: the server's own sentence. */
export class Refused extends Trouble {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** For a `catch`: let trouble pass, and throw anything else again. */
export function onlyTrouble(error) {
  if (!(error instanceof Trouble)) {
    throw error;
  }
}

/**
 * Ask, and return the answer, an object that has all of `fields`. Throws `Trouble`, also when `signal` is aborted.
 * timeoutMs: how long the whole answer may take; the rest as for `fetch`.
 */
export async function askJson(address, fields, { signal, timeoutMs = ANSWER_TIMEOUT_MS, ...options } = {}) {
  const patience = AbortSignal.timeout(timeoutMs);
  const request = new Request(address, { ...options, signal: signal ? AbortSignal.any([signal, patience]) : patience });
  let response, text;
  try {
    response = await fetch(request); // fails with a TypeError, like a slip in the code, when nobody answers
    text = await response.text();
  } catch (error) {
    throw new NoAnswer(error.message, { cause: error });
  }
  if (response.ok) {
    return parse(text, fields);
  }
  const { error } = parse(text, ["error"]);
  throw typeof error === "string" ? new Refused(response.status, error) : new NoAnswer(response.statusText);
}

/** Return a message as the object that it is, with all of `fields`. Throws `NoAnswer` for what nobody of ours sends. */
export function parse(text, fields) {
  return checked(read(text), fields);
}

/** Return a message as a list of such objects: itself, if it is one, or as many as it lists. Throws as `parse` does. */
export function parseAll(text, fields) {
  return [read(text)].flat().map((message) => checked(message, fields));
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new NoAnswer("the answer is not JSON", { cause: error }); // the error page of a proxy, for one
  }
}

function checked(message, fields) {
  if (typeof message !== "object" || message === null || !fields.every((field) => field in message)) {
    throw new NoAnswer(`the answer lacks ${fields.join(", ")}`);
  }
  return message;
}

/** Whether a file of the page can be had at this moment. */
export async function isThere(path) {
  const request = new Request(path, { cache: "no-store" });
  try {
    return (await fetch(request)).ok;
  } catch {
    return false; // what `fetch` rejects with is the network's, whatever its name
  }
}
