/** The page's colours, as what draws needs them: style.css has them all, the registry has those of the transports. */

import { isDark, readable } from "./colour.js";

const GROUNDS = ["ink", "soft", "line", "card", "sea", "land", "coast"];

/**
 * Return the colours of style.css as they are now, the font for canvases, the size of its letters in pixels, how much
 * larger than usual that is, and whether things may move.
 */
export function pageLook(moves) {
  const css = getComputedStyle(document.documentElement);
  const px = Math.max(10, 0.8125 * parseFloat(css.fontSize));
  return {
    ...Object.fromEntries(GROUNDS.map((name) => [name, css.getPropertyValue(`--${name}`)])),
    font: `${px}px ${getComputedStyle(document.body).fontFamily}`,
    px,
    unit: px / 13,
    isDark: isDark(css.getPropertyValue("--card")),
    moves,
  };
}

/** Return the look of a side, whose own colours are its transport's: `mark` for shapes on the map, `text` for words. */
export function sideLook(look, { colour }) {
  return {
    ...look,
    rim: look.card,
    rest: look.isDark ? 0.75 : 0.55,
    mark: readable(colour, look.sea, look.isDark ? 5.5 : 3),
    text: readable(colour, look.card, 4.5),
  };
}

/** Call `told` with true before the page goes to paper, and with false when it is a screen again. */
export function onPaper(told) {
  addEventListener("beforeprint", () => told(true));
  addEventListener("afterprint", () => told(false));
  matchMedia("print").addEventListener("change", ({ matches }) => told(matches)); // a browser's view of it, for one
}
