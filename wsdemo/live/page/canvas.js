/** A canvas that is as sharp as the screen, and knows when it has changed its size. */

export class Sheet {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.width = this.height = 0;
    this.resized = () => {};
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  #fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const scale = Math.min(devicePixelRatio || 1, 3);
    const [width, height] = [Math.round(clientWidth * scale), Math.round(clientHeight * scale)];
    if (width === 0 || (this.canvas.width === width && this.canvas.height === height)) {
      return;
    }
    Object.assign(this.canvas, { width, height });
    Object.assign(this, { width: clientWidth, height: clientHeight, scale });
    this.resized();
  }

  /** Give the context, cleared, in CSS pixels; null while the canvas has no size. */
  clear() {
    if (this.width === 0) {
      return null;
    }
    this.context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    return this.context;
  }
}
