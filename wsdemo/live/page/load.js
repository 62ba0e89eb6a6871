/** What the page cannot begin without, asked for until it is there. */

import { isThere, onlyTrouble } from "./net.js";
import { tell } from "./session.js";
import { backoff, sleep } from "./waits.js";

/** Return what the server answers at `path`, with `fields`. */
export async function loadJson(path, fields) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await tell(path, fields);
    } catch (error) {
      onlyTrouble(error);
      await sleep(backoff(attempt));
    }
  }
}

/**
 * Return a row of the registry with its `hear`. The file is found by the row's name alone: whoever adds a transport
 * adds a row there and a file in transports/, and nothing here.
 */
export async function loadTransport(row) {
  const path = `./transports/${row.name}.js`;
  let found = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      // A browser may remember that a file did not come, but only under the address that was asked for.
      return { ...row, hear: (await import(attempt === 0 ? path : `${path}?attempt=${attempt}`)).hear };
    } catch (error) {
      // The browser has one name for a file that did not come and for one that is wrong. The line may have been mended
      // in between, so it is the file only if it was there twice.
      found = (await isThere(path)) ? found + 1 : 0;
      if (found === 2) {
        throw error;
      }
      await sleep(backoff(attempt));
    }
  }
}
