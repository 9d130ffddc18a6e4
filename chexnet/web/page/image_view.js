/* The chosen image: picture, map, window, findings and warnings. */

import { at, element, foreign } from "./dom.js";
import { caption, drawPicture, savePicture } from "./downloads.js";
import { fillFindings, shownFindings, summaryLine } from "./findings.js";
import { addGestures } from "./gestures.js";
import { drawHeatmap } from "./heatmap.js";
import { unpackPixels } from "./pixels.js";
import { findingName, language, text } from "./texts.js";
import { Viewer } from "./viewer.js";
import { translateWarning } from "./warnings.js";

const ZOOM_STEP = 1.25;

/** Shows one image of the queue; `travel(step)` shows the previous or next one. */
export class ImageView {
  constructor(travel) {
    this._image = null;
    this._model = null;
    this._loading = null;
    this._chosen = null; // finding that the user chose; kept for the other images
    this._calibrated = false;
    this._windows = new WeakMap(); // image -> window that the user chose
    this._viewer = new Viewer(at("canvas"), () => this._showView());
    addGestures(this._viewer, () => document.querySelector("[name=mode]:checked").value, travel);
    this._connect();
  }

  setModel(model) {
    this._model = model;
    this._showCover();
  }

  /** Show how far the network is loaded; null when it is ready. */
  setLoading(loading) {
    this._loading = loading;
    this._showCover();
  }

  /** Show another image, or none. */
  show(image) {
    this._image = image;
    this._viewer.show(null);
    this._showResult();
    this._showPixels();
  }

  /** Show the new state of the image that is shown. */
  update(image) {
    if (image.state === "running") this._showCover();
    else this.show(image);
  }

  /** Write all texts again, in another language. */
  showTexts() {
    this._showResult();
    this._showView();
  }

  get _result() {
    return this._image?.result ?? null;
  }

  get _findings() {
    return shownFindings(this._result, this._model, this._calibrated);
  }

  get _finding() {
    return this._findings.find(({ name }) => name === this._chosen) ?? this._findings[0];
  }

  _connect() {
    const viewer = this._viewer;
    at("zoom-in").addEventListener("click", () => viewer.zoomBy(ZOOM_STEP));
    at("zoom-out").addEventListener("click", () => viewer.zoomBy(1 / ZOOM_STEP));
    at("fit").addEventListener("click", () => viewer.fit());
    at("actual").addEventListener("click", () => viewer.actualSize());
    at("opacity").addEventListener("input", () => {
      viewer.setOpacity(at("opacity").value / 100);
      this._describeCanvas();
    });
    for (const id of ["center", "width"]) at(id).addEventListener("input", () => this._windowFromSliders());
    at("reset-window").addEventListener("click", () => viewer.setWindow(null));
    for (const input of document.querySelectorAll("[name=mode]")) {
      input.addEventListener("change", () => this._showView());
    }
    at("save-overlay").addEventListener("click", () => this._save());
  }

  _windowFromSliders() {
    const [center, width] = [Number(at("center").value), Number(at("width").value)];
    this._viewer.setWindow({ low: center - width / 2, high: center + width / 2 });
  }

  async _showPixels() {
    const image = this._image;
    if (!image?.packed) return;
    const pixels = await unpackPixels(image.packed);
    if (image !== this._image) return;
    this._viewer.show(pixels, this._windows.get(image) ?? null);
    this._showCover();
    await this._showMap();
  }

  async _showMap() {
    const image = this._image;
    const { name } = this._finding;
    let map;
    try {
      map = await image.result.maps(name);
    } catch (error) {
      this._showError(error.message);
      return;
    }
    if (image !== this._image || name !== this._finding.name || !this._viewer.pixels) return;
    this._viewer.setMap(map ? drawHeatmap(map, image.result) : null);
    this._describeCanvas();
  }

  _showResult() {
    const image = this._image;
    const result = this._result;
    at("caption").replaceChildren(...this._captionParts());
    this._showError(image?.state === "failed" ? image.error : "");
    const warnings = result?.warnings ?? [];
    at("warnings").replaceChildren(...warnings.map((warning) => element("li", foreign(warningText(warning)))));
    at("warnings").hidden = warnings.length === 0;
    for (const id of ["panel-title", "summary", "list", "scale"]) at(id).hidden = !result;
    at("save-overlay").disabled = !result;
    at("chosen").hidden = !(result && this._model.chosen);
    if (result) this._showFindings();
    this._showCover();
    this._describeCanvas();
  }

  _showFindings() {
    const [result, model] = [this._result, this._model];
    at("summary").textContent = summaryLine(result);
    at("summary").classList.toggle("meaningless", !result.meaningful);
    fillFindings(at("list"), this._findings, result, this._finding.name, (name) => {
      this._chosen = name;
      this._describeCanvas();
      this._showMap();
    });
    const decided = this._findings.some(({ tick }) => tick !== null);
    const scale = [text(this._calibrated ? "scaleCalibrated" : "scaleRaw"), decided ? text("scaleTick") : ""];
    at("scale").replaceChildren(...this._scaleSwitch(), scale.join(" "));
    at("chosen").replaceChildren(`${text("chosenBy")}: `, foreign(model.chosen ?? ""));
  }

  /** A button that switches between calibrated and other probabilities, if the network has both. */
  _scaleSwitch() {
    if (!this._result.findings.some(({ calibrated }) => Number.isFinite(calibrated))) return [];
    const button = element("button", text(this._calibrated ? "showRaw" : "showCalibrated"));
    button.type = "button";
    button.addEventListener("click", () => {
      this._calibrated = !this._calibrated;
      this._showFindings();
      at("scale").querySelector("button").focus();
    });
    return [button, " "];
  }

  _captionParts() {
    const image = this._image;
    if (!image) return [];
    const size = image.result ? ` · ${image.result.width} × ${image.result.height} ${text("pixels")}` : "";
    return [foreign(image.name), size];
  }

  _showError(message) {
    at("error").replaceChildren(foreign(message));
    at("error").hidden = !message;
  }

  /** Cover the stage while there is no picture yet. */
  _showCover() {
    const image = this._image;
    const shown = Boolean(image) && !this._viewer.pixels;
    at("cover").hidden = !shown;
    if (!shown) return;
    const bar = at("cover-bar");
    bar.hidden = image.state === "failed";
    const progress = this._loading ?? image.progress;
    const words = image.state === "failed" ? text("failed") : progress ? text(`stage_${progress.stage}`) : text(image.state);
    if (at("cover-text").textContent !== words) at("cover-text").textContent = words ?? text("stage_");
    if (Number.isFinite(progress?.fraction)) bar.value = progress.fraction;
    else bar.removeAttribute("value");
  }

  /** Show zoom, window and map in the controls. */
  _showView() {
    const viewer = this._viewer;
    const { pixels } = viewer;
    if (this._image && pixels) this._windows.set(this._image, viewer.window);
    for (const id of ["center", "width", "opacity"]) at(id).disabled = !pixels;
    for (const id of ["zoom-in", "zoom-out", "fit", "actual"]) at(id).disabled = !pixels;
    at("reset-window").disabled = !viewer.window;
    const windowing = document.querySelector("[name=mode]:checked").value === "window";
    viewer.canvas.style.touchAction = windowing || !viewer.fitted ? "none" : "pan-y";
    viewer.canvas.classList.toggle("windowing", windowing);
    at("opacity-value").textContent = `${at("opacity").value} %`;
    at("legend").hidden = !(pixels && viewer.map && viewer.opacity > 0);
    const limit = this._model?.cam_max;
    at("legend-high").textContent = limit ? `≥ ${Number(limit.toPrecision(3))}` : "";
    at("legend-low").textContent = limit ? `≤ 0 ${text("mapUnit")}` : "";
    if (!pixels) {
      for (const id of ["zoom", "center-value", "width-value", "corner"]) at(id).textContent = "";
      return;
    }
    at("zoom").textContent = `${Math.round(100 * viewer.zoom * devicePixelRatio)} %`;
    this._showWindow(pixels, viewer.currentWindow());
  }

  _showWindow({ low, high }, { center, width }) {
    const range = high - low;
    Object.assign(at("center"), { min: low - range / 2, max: high + range / 2, step: Math.max(1, range / 256) });
    Object.assign(at("width"), { min: Math.max(1, range / 256), max: 2 * range, step: Math.max(1, range / 256) });
    at("center").value = center;
    at("width").value = width;
    at("center-value").textContent = Math.round(center);
    at("width-value").textContent = Math.round(width);
    at("corner").textContent = this._viewer.window ? `${text("window_")} ${Math.round(center)} / ${Math.round(width)}` : "";
  }

  _describeCanvas() {
    const name = this._image?.name ?? "";
    const withMap = this._result && this._viewer.opacity > 0;
    const words = withMap ? text("imageWithMap", name, findingName(this._finding.name)) : text("imageOf", name);
    at("canvas").setAttribute("aria-label", words);
  }

  async _save() {
    const finding = this._finding;
    const { result, name } = this._image;
    const title = `${caption(finding, result.meaningful)}    ${name}`;
    const lines = [text("disclaimer"), this._model.notice, at("corner").textContent];
    await savePicture(drawPicture(this._viewer, title, lines), name, finding.name);
  }
}

const warningText = (warning) => (language() === "zh" ? translateWarning(warning) : warning);
