/** The page's colours, as what draws needs them: style.css has them all, the registry has those of the transports. */

import { readable } from "./colour.js";

const GROUNDS = ["ink", "soft", "line", "card", "sea", "land", "coast"];

/** Return the colours of style.css as they are now, the font for canvases, and whether things may move. */
export function pageLook(moves) {
  const css = getComputedStyle(document.documentElement);
  const px = Math.max(12, 0.8125 * parseFloat(css.fontSize));
  return {
    ...Object.fromEntries(GROUNDS.map((name) => [name, css.getPropertyValue(`--${name}`)])),
    font: `${px}px ${getComputedStyle(document.body).fontFamily}`,
    moves,
  };
}

/** Return the look of a side, whose own colours are its transport's: `mark` for shapes on the map, `text` for words. */
export function sideLook(look, { colour }, isDark) {
  return {
    ...look,
    rim: look.card,
    rest: isDark ? 0.75 : 0.55,
    mark: readable(colour, look.sea, isDark ? 5.5 : 3),
    text: readable(colour, look.card, 4.5),
  };
}
