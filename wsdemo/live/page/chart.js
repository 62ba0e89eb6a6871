/** Latency over time, both sides on one axis. */

import { Sheet } from "./canvas.js";

export const WINDOW_S = 60;
const MARGIN = { left: 58, right: 14, top: 12, bottom: 26 };

export class Chart {
  #points = { left: [], right: [] };

  constructor(canvas) {
    this.sheet = new Sheet(canvas);
  }

  /** Take over {ink, soft, line, font, sides: {left: {mark, label}, right: …}, format(seconds)}. */
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
    const { width, height } = this.sheet;
    most = Math.max(most, 0.004);
    const step = niceStep(most);
    const top = Math.max(most * 1.06, step);
    const x = (atS) => MARGIN.left + ((atS - startS) / WINDOW_S) * (width - MARGIN.left - MARGIN.right);
    const y = (seconds) => height - MARGIN.bottom - (Math.max(0, seconds) / top) * (height - MARGIN.top - MARGIN.bottom);
    this.#drawAxes(context, x, y, top, step, nowS);
    for (const side of ["left", "right"]) {
      this.#drawSide(context, x, y, side, means[side]);
    }
  }

  #drawAxes(context, x, y, top, step, nowS) {
    const { soft, line, font, format, ago } = this.look;
    context.font = font;
    context.fillStyle = soft;
    context.strokeStyle = line;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let tick = 0; tick <= top; tick += step) {
      context.beginPath();
      context.moveTo(x(nowS - WINDOW_S), y(tick));
      context.lineTo(x(nowS), y(tick));
      context.stroke();
      context.fillText(format(tick), MARGIN.left - 8, y(tick));
    }
    context.textBaseline = "alphabetic";
    for (const seconds of [60, 40, 20, 0]) {
      context.textAlign = seconds === 60 ? "left" : seconds === 0 ? "right" : "center";
      context.fillText(ago(seconds), x(nowS - seconds), this.sheet.height - 7);
    }
    context.textAlign = "left";
  }

  #drawSide(context, x, y, side, mean) {
    const { mark } = this.look.sides[side];
    context.fillStyle = context.strokeStyle = mark;
    if (mean !== undefined && mean !== null) {
      context.setLineDash([6, 5]);
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(MARGIN.left, y(mean));
      context.lineTo(this.sheet.width - MARGIN.right, y(mean));
      context.stroke();
      context.setLineDash([]);
    }
    context.globalAlpha = 0.85;
    for (const { heardS, latencyS } of this.#points[side]) {
      // A shape of its own for each side, for those who do not see the colours, or chose one transport twice.
      if (side === "left") {
        context.fillRect(x(heardS) - 4, y(latencyS) - 4, 8, 8);
      } else {
        context.beginPath();
        context.arc(x(heardS), y(latencyS), 4.5, 0, 2 * Math.PI);
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
