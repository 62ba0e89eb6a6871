/**
 * What a person has chosen, kept in the page's address behind the "#": it survives a reload and can be sent to others,
 * and no server and no proxy is told of it.
 */

/** Return what was chosen under a name, null if nothing was. It is anybody's text, and must be checked. */
export function chosen(name) {
  return choices().get(name);
}

/** Keep a choice. The page's history gets no entry by it: going back leaves the page, as before. */
export function keep(name, value) {
  const all = choices();
  all.set(name, value);
  history.replaceState(history.state, "", `#${all}`);
}

function choices() {
  return new URLSearchParams(location.hash.slice(1));
}

// Only a person or a link changes it in any other way, and they mean the page that it describes.
addEventListener("hashchange", () => location.reload());
