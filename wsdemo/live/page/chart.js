/** Latency over time, both sides on one axis. */

import { Sheet } from "./canvas.js";

export const WINDOW_S = 60;

export class Chart {
  #points = { left: [], right: [] };

  constructor(canvas) {
    this.sheet = new Sheet(canvas);
  }

  /** Take over {soft, line, font, px, unit, sides: {left: {mark}, right: …}, format(seconds), ago(seconds)}: see look.js. */
  setLook(look) {
    this.look = look;
  }

  clear() {
    this.#points = { left: [], right: [] };
  }

  add(side, heardS, latencyS) {
    this.#points[side].push({ heardS, latencyS });
  }

  /** means: {left, right}, what theory expects, in seconds. */
  draw(nowS, means) {
    const context = this.look ? this.sheet.clear() : null;
    if (context === null) {
      return;
    }
    const startS = nowS - WINDOW_S;
    let most = 2 * Math.max(means.left ?? 0, means.right ?? 0);
    for (const side of ["left", "right"]) {
      this.#points[side] = this.#points[side].filter((point) => point.heardS > startS);
      most = this.#points[side].reduce((high, point) => Math.max(high, point.latencyS), most);
    }
    context.font = this.look.font;
    this.#drawAxes(context, this.#place(context, Math.max(most, 0.004), nowS));
    for (const side of ["left", "right"]) {
      this.#drawSide(context, side, means[side]);
    }
  }

  /** Lay out the axes round the room that their labels need, measured; return the ticks with their labels. */
  #place(context, most, nowS) {
    const { width, height } = this.sheet;
    const { px, unit, format } = this.look;
    const step = niceStep(most);
    const highest = Math.max(most * 1.06, step);
    const ticks = Array.from({ length: Math.floor(highest / step) + 1 }, (_, i) => ({ at: i * step, label: format(i * step) }));
    const left = 8 * unit + Math.ceil(Math.max(...ticks.map(({ label }) => context.measureText(label).width)));
    const right = width - 10 * unit;
    const [top, bottom] = [0.7 * px + 3 * unit, height - 1.9 * px];
    this.edges = { left, right, top, bottom };
    this.x = (atS) => right - ((nowS - atS) / WINDOW_S) * (right - left);
    this.y = (seconds) => bottom - (Math.max(0, seconds) / highest) * (bottom - top);
    return ticks;
  }

  #drawAxes(context, ticks) {
    const { soft, line, px, unit } = this.look;
    const { left, right } = this.edges;
    context.fillStyle = soft;
    context.strokeStyle = line;
    context.lineWidth = unit;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const { at, label } of ticks) {
      context.beginPath();
      context.moveTo(left, this.y(at));
      context.lineTo(right, this.y(at));
      context.stroke();
      context.fillText(label, left - 8 * unit, this.y(at));
    }
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    this.#drawMoments(context, this.sheet.height - 0.5 * px);
  }

  /** Write below the axis when it was, from now back: each label only where it has room. */
  #drawMoments(context, baseline) {
    const { ago, px } = this.look;
    const { left, right } = this.edges;
    let free = this.sheet.width; // up to where the labels so far leave room
    for (const seconds of [0, 20, 40, 60]) {
      const label = ago(seconds);
      const { width } = context.measureText(label);
      const wanted = right - (seconds / WINDOW_S) * (right - left) - width / 2;
      const start = Math.max(left, Math.min(wanted, right - width));
      if (start + width <= free) {
        context.fillText(label, start, baseline);
        free = start - 0.6 * px;
      }
    }
  }

  #drawSide(context, side, mean) {
    const { unit } = this.look;
    const { mark } = this.look.sides[side];
    context.fillStyle = context.strokeStyle = mark;
    if (mean !== undefined && mean !== null) {
      context.setLineDash([6 * unit, 5 * unit]);
      context.lineWidth = 1.5 * unit;
      context.beginPath();
      context.moveTo(this.edges.left, this.y(mean));
      context.lineTo(this.edges.right, this.y(mean));
      context.stroke();
      context.setLineDash([]);
    }
    context.globalAlpha = 0.85;
    for (const { heardS, latencyS } of this.#points[side]) {
      // A shape of its own for each side, for those who do not see the colours, or chose one transport twice.
      if (side === "left") {
        context.fillRect(this.x(heardS) - 4 * unit, this.y(latencyS) - 4 * unit, 8 * unit, 8 * unit);
      } else {
        context.beginPath();
        context.arc(this.x(heardS), this.y(latencyS), 4.5 * unit, 0, 2 * Math.PI);
        context.fill();
      }
    }
    context.globalAlpha = 1;
  }
}

/** Return a step of 1, 2 or 5 times a power of ten that gives up to five steps. */
export function niceStep(most) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}
