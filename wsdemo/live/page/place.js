/**
 * Where the sides of a session live: each at a port of its own, beside the page behind Jupyter's proxy and on the same
 * host otherwise; and below the page, for a browser that reaches no other port.
 */

import { askJson, onlyTrouble } from "./net.js";

const PATIENCE_MS = 2000;

/** The two ways to a side. */
export const DIRECT = "direct";
export const RELAYED = "relayed";

/**
 * Return the address of what another port serves at `path`, for a page at `here`.
 * scheme: "http" or "ws"; a page that came by https gets the secure form of either.
 */
export function portUrl(port, path, scheme, here = location) {
  const url = bare(here, scheme);
  if (url.pathname === "/") {
    url.port = port;
    url.pathname = `/${path}`;
  } else if (/\/proxy\/\d+\/$/.test(url.pathname)) {
    url.pathname = new URL(`../${port}/${path}`, here).pathname;
  } else {
    // A tile of JupyterLab's launcher: the page has a name instead of a port, its siblings have not.
    url.pathname = new URL(`../proxy/${port}/${path}`, here).pathname;
  }
  return url;
}

/** Return the addresses of a side's updates, {direct, relayed}. */
export function updatesUrls({ port, session, side }, scheme, here = location) {
  const relayed = bare(here, scheme);
  relayed.pathname = new URL(`side/${session}/${side}/updates`, here).pathname;
  return { [DIRECT]: portUrl(port, "updates", scheme, here), [RELAYED]: relayed };
}

/**
 * Find out by which way the sides are reached. Directly, where that can be: each side then has the browser's
 * connections for itself, and nothing stands between. But a tunnel lets one port pass, and behind it another program may
 * have the same number here, so the server must answer with its own token.
 */
export async function findWay({ port, token }) {
  try {
    const answer = await askJson(portUrl(port, "reach", "http"), ["token"], { cache: "no-store", timeoutMs: PATIENCE_MS });
    return answer.token === token ? DIRECT : RELAYED;
  } catch (error) {
    onlyTrouble(error);
    return RELAYED;
  }
}

function bare(here, scheme) {
  const url = new URL(here.href);
  url.search = url.hash = "";
  if (scheme === "ws") {
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  }
  return url;
}
