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

  /** Take over {ink, line, mark, card, font, px, unit, texts: {source, reader}}: see look.js. */
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
    const { font, px, unit, texts } = this.look;
    context.font = font;
    const gutter = 12 * unit + Math.max(...Object.values(texts).map((text) => context.measureText(text).width));
    const x = (atS) => gutter + ((atS - startS) / WINDOW_S) * (width - gutter - 8 * unit);
    const [top, bottom] = [0.7 * px + 1, height - 0.7 * px - 3 * unit]; // half a letter from either edge, or a mark

    this.#drawTexts(context, top, bottom);
    context.save();
    context.beginPath();
    context.rect(gutter, 0, width, height);
    context.clip();
    context.strokeStyle = this.look.line;
    context.lineWidth = 1;
    for (const y of [top, bottom]) {
      context.beginPath();
      context.moveTo(gutter, y);
      context.lineTo(width, y);
      context.stroke();
    }
    this.#drawUpdates(context, x, top, bottom, nowS, polls);
    this.#drawRequests(context, x, bottom, polls);
    context.restore();
  }

  #drawUpdates(context, x, top, bottom, nowS, polls) {
    const { ink, mark, unit } = this.look;
    for (const { atS, heardS } of this.#updates) {
      context.strokeStyle = mark;
      context.lineWidth = 2 * unit;
      context.setLineDash(heardS === null ? [3 * unit, 3 * unit] : []);
      context.beginPath();
      context.moveTo(x(atS), top);
      if (heardS === null) {
        context.lineTo(x(nowS), top + 5 * unit); // it waits, and nobody has asked
      } else {
        context.lineTo(x(heardS), bottom);
      }
      context.stroke();
      context.setLineDash([]);
      context.fillStyle = ink;
      diamond(context, x(atS), top, 4.5 * unit);
      if (heardS !== null && !polls) {
        context.fillStyle = mark;
        context.beginPath();
        context.arc(x(heardS), bottom, 5 * unit, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }

  #drawRequests(context, x, bottom, polls) {
    const { mark, card, unit } = this.look;
    const [wide, high, line] = [7 * unit, 12 * unit, 1.5 * unit];
    for (const { atS, wasted } of this.#requests) {
      const left = x(atS) - wide / 2;
      if (wasted === false || !polls) {
        context.fillStyle = mark;
        if (polls) {
          context.fillRect(left, bottom - high / 2, wide, high);
        } else {
          context.fillRect(x(atS) - unit, bottom - high / 2, 2 * unit, high + 2 * unit);
        }
      } else {
        context.fillStyle = card;
        context.fillRect(left, bottom - high / 2, wide, high);
        context.strokeStyle = mark;
        context.lineWidth = line;
        context.setLineDash(wasted === null ? [2 * unit, 2 * unit] : []);
        context.strokeRect(left + line / 2, bottom - high / 2 + line / 2, wide - line, high - line);
        context.setLineDash([]);
      }
    }
  }

  #drawTexts(context, top, bottom) {
    const { ink, texts } = this.look;
    context.fillStyle = ink;
    context.textBaseline = "middle";
    context.fillText(texts.source, 0, top);
    context.fillText(texts.reader, 0, bottom);
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
