/** Where the ports of a session live: beside the page behind Jupyter's proxy, on the same host otherwise. */

/**
 * Return the address of the updates on a port, for a page at `here`.
 * scheme: "http" or "ws"; a page that came by https gets the secure form of either.
 */
export function updatesUrl(port, scheme, here = location) {
  const url = new URL(here.href);
  url.search = url.hash = "";
  if (url.pathname === "/") {
    url.port = port;
    url.pathname = "/updates";
  } else if (/\/proxy\/\d+\/$/.test(url.pathname)) {
    url.pathname = new URL(`../${port}/updates`, url).pathname;
  } else {
    // A tile of JupyterLab's launcher: the page has a name instead of a port, its siblings have not.
    url.pathname = new URL(`../proxy/${port}/updates`, url).pathname;
  }
  if (scheme === "ws") {
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  }
  return url;
}
