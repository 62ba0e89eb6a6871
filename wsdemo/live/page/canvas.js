/** A canvas that is as sharp as the screen, whatever becomes of its size, of the zoom and of the screen. */

export class Sheet {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.width = this.height = 0;
    this.resized = () => {};
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  /** Take over the size that it has now. It is done by itself, but only with the next frame. */
  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const scale = sharpness();
    if (clientWidth === 0 || (clientWidth === this.width && clientHeight === this.height && scale === this.scale)) {
      return;
    }
    Object.assign(this.canvas, { width: Math.round(clientWidth * scale), height: Math.round(clientHeight * scale) });
    Object.assign(this, { width: clientWidth, height: clientHeight, scale });
    this.resized();
  }

  /** Keep the size that it has now, or (false) go on with that of the page. */
  hold(held) {
    const { style, clientWidth, clientHeight } = this.canvas;
    style.width = held ? `${clientWidth}px` : "";
    style.height = held ? `${clientHeight}px` : "";
    this.fit();
  }

  /** Give the context, cleared, in CSS pixels; null while the canvas has no size. */
  clear() {
    if (this.width !== 0 && this.scale !== sharpness()) {
      this.fit(); // another zoom, or another screen: nobody tells of either
    }
    if (this.width === 0) {
      return null;
    }
    this.context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    return this.context;
  }
}

/** How many pixels of the canvas a CSS pixel gets. */
function sharpness() {
  return Math.min(devicePixelRatio || 1, 3);
}
