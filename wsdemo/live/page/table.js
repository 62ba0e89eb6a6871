/** The table: what both sides measured, and what theory says. */

import { element, write } from "./dom.js";

const ROWS = ["requests", "wasted", "share", "poisson", "latency", "worst", "updates", "lost", "bytes"];

/** The table of every number, built once and filled in often. */
export class Table {
  #cells = {};
  #heads = {};

  constructor(table) {
    this.table = table;
  }

  /** Build it in a language; sides: {left, right}, the transport of each. */
  build(texts, sides) {
    this.texts = texts;
    const head = element("thead");
    const names = element("tr");
    this.since = element("th", { scope: "col", rowSpan: 2 });
    names.append(this.since);
    const kinds = element("tr");
    for (const [side, transport] of Object.entries(sides)) {
      const name = element("th", { scope: "colgroup", colSpan: 2, textContent: texts.label(transport) });
      name.className = side;
      this.#heads[side] = name;
      names.append(name);
      for (const kind of ["measured", "theory"]) {
        kinds.append(element("th", { scope: "col", textContent: texts.get(kind) }));
      }
    }
    head.append(names, kinds);
    const body = element("tbody");
    for (const row of ROWS) {
      const line = element("tr");
      line.append(element("th", { scope: "row", textContent: texts.get(row) }));
      for (const side of Object.keys(sides)) {
        for (const kind of ["measured", "expected"]) {
          const cell = element("td", { className: kind });
          this.#cells[`${side}.${kind}.${row}`] = cell;
          line.append(cell);
        }
      }
      body.append(line);
    }
    this.table.replaceChildren(head, body);
  }

  /** Take over the looks of both sides. */
  setLook(looks) {
    for (const [side, { text }] of Object.entries(looks)) {
      this.#heads[side].style.setProperty("--text", text);
    }
  }

  /** Fill in {left, right} as `numbers` gives them. */
  fill(both, sinceS) {
    write(this.since, this.texts.get("quantity", { since: `${this.texts.number(sinceS, { maximumFractionDigits: 1 })}\u202fs` }));
    for (const [side, kinds] of Object.entries(both)) {
      for (const kind of ["measured", "expected"]) {
        for (const row of ROWS) {
          write(this.#cells[`${side}.${kind}.${row}`], this.#text(row, kinds[kind][row]));
        }
      }
    }
  }

  #text(row, value) {
    if (value === null || value === undefined) {
      return "";
    }
    switch (row) {
      case "share":
      case "poisson":
        return `${this.texts.number(value * 100, { maximumFractionDigits: 1, minimumFractionDigits: 1 })}\u202f%`;
      case "latency":
      case "worst":
        return this.texts.duration(value);
      case "bytes":
        return this.texts.bytes(value);
      default:
        return this.texts.number(value);
    }
  }
}
