/* The image with its map: zoom, position and window. */

import { drawPixels } from "./pixels.js";

const MAX_ZOOM = 16;
const MIN_ZOOM = 0.25;

/** Shows one image in a canvas. `onChange` is called after every change of zoom, position or window. */
export class Viewer {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.opacity = 1;
    this.pixels = null;
    this.map = null;
    this._onChange = onChange;
    this._image = document.createElement("canvas");
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  /** Show pixels from `unpackPixels`, or nothing; `window` is {low, high}, or null for the image as it was read. */
  show(pixels, window = null) {
    this.pixels = pixels;
    this.map = null;
    this.window = window;
    if (pixels) drawPixels(this._image, pixels, window);
    this.fit();
  }

  /** Lay a canvas of a map over the image, or none. */
  setMap(map) {
    this.map = map;
    this._changed();
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this._changed();
  }

  /** Choose the window {low, high}; null shows the image as it was read. */
  setWindow(window) {
    this.window = window;
    this._redraw = true;
    this._changed();
  }

  /** Move level and width by fractions of the sample range. */
  moveWindow(level, width) {
    if (!this.pixels) return;
    const { low, high } = this.pixels;
    const current = this.currentWindow();
    const range = high - low;
    const newWidth = Math.min(2 * range, Math.max(range / 256, current.width + width * range));
    const center = Math.min(high + range / 2, Math.max(low - range / 2, current.center + level * range));
    this.setWindow({ low: center - newWidth / 2, high: center + newWidth / 2 });
  }

  /** Return {center, width} of the window. */
  currentWindow() {
    const { low, high } = this.window ?? this.pixels ?? { low: 0, high: 255 };
    return { center: (low + high) / 2, width: high - low };
  }

  /** Show the whole image. */
  fit() {
    if (this.pixels) this._scale = this._fitted();
    this._x = this._y = 0.5;
    this._changed();
  }

  /** Show one image pixel per screen pixel. */
  actualSize() {
    this.zoomBy(1 / (this.zoom * devicePixelRatio));
  }

  /** Screen pixels of the page per image pixel. */
  get zoom() {
    return this._scale;
  }

  /** Whether the whole image fits, so that moving it has no effect. */
  get fitted() {
    return !this.pixels || this._scale <= this._fitted() * 1.001;
  }

  /** Zoom by a factor, about a point in the canvas (by default its center). */
  zoomBy(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (!this.pixels) return;
    const fitted = this._fitted();
    const scale = Math.min(Math.max(MAX_ZOOM, fitted), Math.max(fitted * MIN_ZOOM, this._scale * factor));
    const { clientWidth, clientHeight } = this.canvas;
    const { width, height } = this.pixels;
    this._x += ((x - clientWidth / 2) / width) * (1 / this._scale - 1 / scale);
    this._y += ((y - clientHeight / 2) / height) * (1 / this._scale - 1 / scale);
    this._scale = scale;
    this._changed();
  }

  /** Move the image by page pixels. */
  panBy(x, y) {
    if (!this.pixels) return;
    this._x -= x / (this.pixels.width * this._scale);
    this._y -= y / (this.pixels.height * this._scale);
    this._changed();
  }

  /** Draw the whole image with its map into a canvas of the given size. */
  drawInto(context, width, height) {
    context.imageSmoothingQuality = "high";
    context.drawImage(this._image, 0, 0, width, height);
    if (!this.map) return;
    context.globalAlpha = this.opacity;
    context.drawImage(this.map, 0, 0, width, height);
    context.globalAlpha = 1;
  }

  _fitted() {
    const { clientWidth, clientHeight } = this.canvas;
    return Math.max(1e-3, Math.min(clientWidth / this.pixels.width, clientHeight / this.pixels.height));
  }

  _changed() {
    this._x = Math.min(1, Math.max(0, this._x));
    this._y = Math.min(1, Math.max(0, this._y));
    this._frame ??= requestAnimationFrame(() => this._draw());
    this._onChange();
  }

  _draw() {
    this._frame = null;
    const { canvas, pixels } = this;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!pixels) return;
    if (this._redraw) drawPixels(this._image, pixels, this.window);
    this._redraw = false;
    const scale = this._scale * ratio;
    const left = width / 2 - this._x * pixels.width * scale;
    const top = height / 2 - this._y * pixels.height * scale;
    context.translate(left, top);
    this.drawInto(context, pixels.width * scale, pixels.height * scale);
  }
}
