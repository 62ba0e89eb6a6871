/**
 * The last seconds of one side, as the sequence diagram that protocols are drawn with: the source's line above, the
 * reader's below, and from each update a line to the moment at which it was heard. Upright is at once, slanted is late.
 */

import { Sheet } from "./canvas.js";

export const WINDOW_S = 20;

export class Strip {
  #updates = [];
  #requests = [];

  constructor(canvas) {
    this.sheet = new Sheet(canvas);
  }

  /** Take over colours {ink, line, mark, ground} and texts {source, reader}. */
  setLook(look) {
    this.look = look;
  }

  clear() {
    this.#updates = [];
    this.#requests = [];
  }

  /** An update that exists; it may not have been heard on this side yet. */
  exists(seq, atS) {
    this.#updates.push({ seq, atS, heardS: null });
  }

  heard(seq, heardS) {
    const update = this.#updates.findLast((one) => one.seq === seq);
    if (update !== undefined) {
      update.heardS = heardS;
    }
  }

  /** A request {atS, wasted}; what it brought is filled in when it is answered. */
  asked(request) {
    this.#requests.push(request);
  }

  draw(nowS, polls) {
    const context = this.look ? this.sheet.clear() : null;
    if (context === null) {
      return;
    }
    const { width, height } = this.sheet;
    const startS = nowS - WINDOW_S;
    this.#updates = this.#updates.filter((one) => Math.max(one.atS, one.heardS ?? nowS) > startS - 1);
    this.#requests = this.#requests.filter((one) => one.atS > startS - 1 && !one.cut);
    const x = (atS) => ((atS - startS) / WINDOW_S) * (width - 8);
    const [top, bottom] = [10, height - 16];

    context.strokeStyle = this.look.line;
    context.lineWidth = 1;
    for (const y of [top, bottom]) {
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
    }
    this.#drawUpdates(context, x, top, bottom, nowS, polls);
    this.#drawRequests(context, x, bottom, polls);
    this.#drawTexts(context, top, bottom);
  }

  #drawUpdates(context, x, top, bottom, nowS, polls) {
    const { ink, mark } = this.look;
    for (const { atS, heardS } of this.#updates) {
      context.strokeStyle = mark;
      context.lineWidth = 2;
      context.setLineDash(heardS === null ? [3, 3] : []);
      context.beginPath();
      context.moveTo(x(atS), top);
      if (heardS === null) {
        context.lineTo(x(nowS), top + 5); // it waits, and nobody has asked
      } else {
        context.lineTo(x(heardS), bottom);
      }
      context.stroke();
      context.setLineDash([]);
      context.fillStyle = ink;
      diamond(context, x(atS), top, 4.5);
      if (heardS !== null && !polls) {
        context.fillStyle = mark;
        context.beginPath();
        context.arc(x(heardS), bottom, 5, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }

  #drawRequests(context, x, bottom, polls) {
    const { mark, ground } = this.look;
    const wide = 7;
    for (const { atS, wasted } of this.#requests) {
      const [left, high] = [x(atS) - wide / 2, 12];
      if (wasted === false || !polls) {
        context.fillStyle = mark;
        if (polls) {
          context.fillRect(left, bottom - high / 2, wide, high);
        } else {
          context.fillRect(x(atS) - 1, bottom - high / 2, 2, high + 2);
        }
      } else {
        context.fillStyle = ground;
        context.fillRect(left, bottom - high / 2, wide, high);
        context.strokeStyle = mark;
        context.lineWidth = 1.5;
        context.setLineDash(wasted === null ? [2, 2] : []);
        context.strokeRect(left + 0.75, bottom - high / 2 + 0.75, wide - 1.5, high - 1.5);
        context.setLineDash([]);
      }
    }
  }

  #drawTexts(context, top, bottom) {
    const { ink, ground, font, texts } = this.look;
    context.font = font;
    context.textBaseline = "middle";
    [[texts.source, top + 1], [texts.reader, bottom]].forEach(([text, y]) => {
      const wide = context.measureText(text).width + 8;
      context.fillStyle = ground;
      context.fillRect(0, y - 8, wide, 16);
      context.fillStyle = ink;
      context.fillText(text, 0, y);
    });
  }
}

function diamond(context, x, y, half) {
  context.beginPath();
  context.moveTo(x, y - half);
  context.lineTo(x + half, y);
  context.lineTo(x, y + half);
  context.lineTo(x - half, y);
  context.fill();
}
