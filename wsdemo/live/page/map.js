/** A map of the world with one dot an earthquake. Dots that have come to rest are painted once and kept as a picture. */

import { Sheet } from "./canvas.js";

const NORTH = 81;
const SOUTH = -56;
const RIPPLE_MS = 1800;
/** How many dots a map remembers, for when it must be painted again: a little more than the week has. */
const REMEMBERED = 1800;

export class WorldMap {
  #resting = document.createElement("canvas");
  #dots = [];
  #rippling = [];
  #dirty = true;

  constructor(canvas, rings) {
    this.sheet = new Sheet(canvas);
    this.sheet.resized = () => this.#paintAll();
    this.rings = rings.flatMap(unrolled);
  }

  /** Take over {land, coast, mark, rim, rest, unit, moves}: see look.js. */
  setLook(look) {
    this.look = look;
    this.#paintAll();
  }

  clear() {
    this.#dots = [];
    this.#rippling = [];
    this.#paintAll();
  }

  add({ longitude, latitude, magnitude }) {
    const dot = { longitude, latitude, magnitude: magnitude ?? 0, bornMs: performance.now() };
    this.#dots.push(dot);
    if (this.#dots.length > REMEMBERED) {
      this.#dots.splice(0, this.#dots.length - REMEMBERED);
    }
    this.#rippling.push(dot);
    this.#dirty = true;
  }

  /** Paint this moment. Nothing is done while nothing moves. */
  draw(nowMs) {
    if (!this.#dirty || !this.look) {
      return;
    }
    const context = this.sheet.clear();
    if (context === null) {
      return;
    }
    const still = [];
    for (const dot of this.#rippling) {
      if (nowMs - dot.bornMs >= RIPPLE_MS) {
        this.#rest(dot);
      } else {
        still.push(dot);
      }
    }
    this.#rippling = still;
    context.drawImage(this.#resting, 0, 0, this.sheet.width, this.sheet.height);
    for (const dot of still) {
      this.#ripple(context, dot, (nowMs - dot.bornMs) / RIPPLE_MS);
    }
    this.#dirty = still.length > 0;
  }

  #ripple(context, dot, age) {
    const [x, y] = this.#place(dot);
    const radius = this.#radius(dot);
    const { unit } = this.look;
    context.strokeStyle = context.fillStyle = this.look.mark;
    if (this.look.moves) {
      context.globalAlpha = (1 - age) ** 1.5;
      context.lineWidth = 2.5 * unit;
      circle(context, x, y, radius + (4 + 30 * Math.sqrt(age)) * unit);
      context.stroke();
    }
    context.globalAlpha = 1 - 0.45 * age;
    circle(context, x, y, radius * (1 + 0.7 * (1 - Math.min(1, age * 3))));
    context.fill();
    context.globalAlpha = 1;
  }

  #rest(dot) {
    const context = this.#resting.getContext("2d");
    const [x, y] = this.#place(dot);
    circle(context, x, y, this.#radius(dot));
    context.globalAlpha = this.look.rest;
    context.fillStyle = this.look.mark;
    context.fill();
    context.globalAlpha = 0.9;
    context.strokeStyle = this.look.rim;
    context.lineWidth = 0.75;
    context.stroke();
    context.globalAlpha = 1;
  }

  #paintAll() {
    const { width, height, scale } = this.sheet;
    if (!width || !this.look) {
      return;
    }
    Object.assign(this.#resting, { width: width * scale, height: height * scale });
    const context = this.#resting.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.fillStyle = this.look.land;
    context.strokeStyle = this.look.coast;
    context.lineWidth = 0.75;
    for (const ring of this.rings) {
      context.beginPath();
      for (const [longitude, latitude] of ring) {
        context.lineTo(...this.#place({ longitude, latitude }));
      }
      context.closePath();
      context.fill();
      context.stroke();
    }
    const moving = new Set(this.#rippling);
    this.#dots.filter((dot) => !moving.has(dot)).forEach((dot) => this.#rest(dot));
    this.#dirty = true;
  }

  #place({ longitude, latitude }) {
    return [
      ((longitude + 180) / 360) * this.sheet.width,
      ((NORTH - latitude) / (NORTH - SOUTH)) * this.sheet.height,
    ];
  }

  /** A step of magnitude is ten times the amplitude; drawn so, one dot would cover the rest. */
  #radius({ magnitude }) {
    return (2 + 0.75 * Math.max(0, magnitude) ** 1.6) * Math.max(0.7, this.sheet.width / 660);
  }
}

/**
 * Return the rings to draw for one ring of the land. One that crosses the date line jumps from 180 to -180 degrees and
 * would be drawn across the whole map; unrolled, half of it lies beyond an edge, so it is drawn at both.
 */
export function unrolled(ring) {
  let turns = 0;
  const points = ring.map(([longitude, latitude], i) => {
    const step = i === 0 ? 0 : longitude - ring[i - 1][0];
    turns += step > 180 ? -1 : step < -180 ? 1 : 0;
    return [longitude + 360 * turns, latitude];
  });
  if (points.every(([longitude]) => Math.abs(longitude) <= 180)) {
    return [points];
  }
  return [-360, 0, 360].map((shift) => points.map(([longitude, latitude]) => [longitude + shift, latitude]));
}

function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
