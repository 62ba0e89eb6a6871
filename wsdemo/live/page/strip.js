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

  /** Take over {ink, soft, line, mark, card, font, px, unit, texts: {source, reader}, words}: see look.js. */
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

  /** spans: what happened to the line, oldest first, see trouble.js. */
  draw(nowS, polls, spans) {
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
    const shown = spans.map(({ kind, fromS, knownS, toS }) => (
      { word: kind, from: x(fromS), known: knownS === null ? null : x(knownS), to: x(toS ?? nowS) }));
    this.#drawTroubles(context, shown, gutter, top, bottom);
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
    this.#drawWords(context, shown, gutter, (top + bottom) / 2);
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

  /** The time of trouble is hatched; a line down marks the moment at which the side knew. */
  #drawTroubles(context, spans, gutter, top, bottom) {
    const { soft, ink, unit } = this.look;
    const high = bottom - top;
    for (const { from, known, to } of spans) {
      const [left, wide] = [Math.max(from, gutter), Math.max(to - Math.max(from, gutter), 2 * unit)];
      context.save();
      context.beginPath();
      context.rect(left, top, wide, high);
      context.clip();
      context.strokeStyle = soft;
      context.lineWidth = unit;
      for (let at = from - high; at < to + 2 * unit; at += 6 * unit) {
        stroke(context, at, bottom, at + high, top);
      }
      context.restore();
      context.strokeStyle = ink;
      context.lineWidth = unit;
      stroke(context, from, top, from, bottom);
      if (known !== null) {
        context.lineWidth = 2 * unit;
        stroke(context, known, top, known, bottom);
      }
    }
  }

  /**
   * Each word where its line is, or beside the one before, or as far right as there is room; on a plate, so that it can be
   * read on what was drawn.
   */
  #drawWords(context, spans, gutter, y) {
    const { ink, card, px, unit, words } = this.look;
    const space = 3 * unit;
    let free = gutter;
    const widthOf = (word) => context.measureText(word).width;
    const say = (word, at, room) => {
      const wide = widthOf(word);
      const left = Math.max(Math.min(at + space, this.sheet.width - space - wide - room), free);
      if (left + wide + unit > this.sheet.width) {
        return; // there will be room once those before have moved on
      }
      context.fillStyle = card;
      context.fillRect(left - unit, y - px / 2 - unit, wide + 2 * unit, px + 2 * unit);
      context.fillStyle = ink;
      context.fillText(word, left, y);
      free = left + wide + 2 * space;
    };
    for (const { word, from, known } of spans) {
      say(words[word], from, known === null ? 0 : widthOf(words.known) + 2 * space);
      if (known !== null) {
        say(words.known, known, 0);
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

function stroke(context, fromX, fromY, toX, toY) {
  context.beginPath();
  context.moveTo(fromX, fromY);
  context.lineTo(toX, toY);
  context.stroke();
}

function diamond(context, x, y, half) {
  context.beginPath();
  context.moveTo(x, y - half);
  context.lineTo(x + half, y);
  context.lineTo(x, y + half);
  context.lineTo(x - half, y);
  context.fill();
}
