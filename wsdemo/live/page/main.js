/** The page: one run of the week, two sides that hear it. This module wires the others together. */

import { withChoices } from "./choices.js";
import { Clock } from "./clock.js";
import { Conductor } from "./conductor.js";
import { loadJson, loadTransport } from "./load.js";
import { Note, watchForFaults } from "./note.js";
import { findWay } from "./place.js";
import { Run } from "./run.js";
import { Screen } from "./screen.js";

const note = new Note(document.getElementById("note"));
watchForFaults((error) => note.fault(error));

const [config, land] = await Promise.all([loadJson("config", ["transports"]), loadJson("land.json", ["rings"])]);
const [way, ...transports] = await Promise.all([findWay(config.reach), ...config.transports.map(loadTransport)]);
const run = new Run(withChoices(config), transports, new Clock());
run.way = way;
const conductor = new Conductor(run, note);
const screen = new Screen(run, note, land.rings, conductor);
run.watcher = screen;

/** For the console and the tests: the numbers of the table, unrounded. */
globalThis.wsdemo = {
  snapshot: () => ({ ...run.snapshot(), session: conductor.session.id, errorMs: run.delayS * 1000 }),
};

// A tab that is out of sight, and a page that is left.

let hiddenMs = null;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenMs = performance.now();
  } else if (hiddenMs !== null) {
    const away = (performance.now() - hiddenMs) / 1000;
    hiddenMs = null;
    if (away > 2 && !run.paused) {
      note.say((texts) => texts.get("background", { away: texts.plain(Math.round(away)) }), 15_000);
    }
  }
});
addEventListener("pagehide", () => conductor.leave());
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    conductor.comeBack();
  }
});

conductor.begin();
screen.start();
