/** What a person has set on this page, as its address keeps it: checked, since an address can be anybody's. */

import { chosen } from "./shared/address.js";

const THEMES = ["light", "dark"];

/** Return the server's configuration with what was chosen in place of how a page starts. What cannot be is left out. */
export function withChoices(config) {
  const names = config.transports.map(({ name }) => name);
  const side = (name) => oneOf(name, names) ?? config.sides[name];
  return {
    ...config,
    interval_s: within("interval", config.interval_range_s) ?? config.interval_s,
    speed: within("speed", config.speed_range) ?? config.speed,
    sides: { left: side("left"), right: side("right") },
  };
}

/** Return the theme that was chosen, null where the system's is to be followed. */
export function chosenTheme() {
  return oneOf("theme", THEMES);
}

function oneOf(name, allowed) {
  const value = chosen(name);
  return allowed.includes(value) ? value : null;
}

function within(name, [low, high]) {
  const text = chosen(name);
  const value = Number(text);
  return text !== null && value >= low && value <= high ? value : null;
}
