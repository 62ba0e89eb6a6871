/** Colours of the registry, made lighter or darker until they can be told from the ground they stand on. */

/** Return a colour moved towards black or white until its contrast with `ground` is at least `ratio` (WCAG 2.2, 1.4.3). */
export function readable(colour, ground, ratio) {
  const target = isDark(ground) ? 255 : 0;
  const from = channels(colour);
  for (let share = 0; share <= 1; share += 0.02) {
    const mixed = toHex(from.map((value) => value + (target - value) * share));
    if (contrast(mixed, ground) >= ratio) {
      return mixed;
    }
  }
  return target === 0 ? "#000000" : "#ffffff";
}

/** Whether a ground is one on which light letters stand. */
export function isDark(ground) {
  return luminance(ground) < 0.18; // as far from white as from black
}

export function contrast(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const [r, g, b] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Of "#rrggbb", or of "rgb(r, g, b)" as the browser computes it. */
function channels(colour) {
  if (colour.startsWith("#")) {
    return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  }
  return colour.match(/[\d.]+/g).slice(0, 3).map(Number);
}

function toHex(rgb) {
  return `#${rgb.map((value) => Math.round(value).toString(16).padStart(2, "0")).join("")}`;
}
