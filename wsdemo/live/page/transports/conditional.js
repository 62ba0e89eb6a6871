/** Polling with ETag: asked at the same times, answered in fewer bytes where there is nothing new. */

import { poll } from "../asking.js";

/**
 * The browser's own cache asks with If-None-Match, as it does for any page. The first question after a piece of news
 * has a new address (`after` moved on), so it is answered in full, those after it with 304. Setting the header by hand
 * would make every question two across ports, since CORS asks for leave first.
 */
export function hear(side, url, signal) {
  return poll(side, url, signal, "no-cache");
}
