/* The strip of images: one radio button per image, with a small picture and the state of its prediction. */

import { element, foreign } from "./dom.js";
import { text } from "./texts.js";

/** Draws the strip into a fieldset. `select(id)` is called when an image is chosen. */
export class Strip {
  constructor(group, select) {
    this._group = group;
    this._select = select;
    this._tiles = new Map();
  }

  /** Show these images; the radio button of `current` is checked. */
  show(images, current) {
    const shown = new Set(images.map(({ id }) => id));
    for (const [id, tile] of this._tiles) {
      if (shown.has(id)) continue;
      tile.remove();
      this._tiles.delete(id);
    }
    for (const image of images) this.update(image, image === current);
  }

  /** Show the state of an image. */
  update(image, checked) {
    let tile = this._tiles.get(image.id);
    if (!tile) {
      tile = this._newTile(image);
      this._tiles.set(image.id, tile);
      this._group.append(tile);
    }
    const input = tile.querySelector("input");
    if (checked && !input.checked) {
      input.checked = true;
      tile.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    tile.dataset.state = image.state;
    const picture = tile.querySelector(".thumbnail");
    if (image.thumbnail && !picture.contains(image.thumbnail)) picture.replaceChildren(image.thumbnail);
    const words = stateWords(image);
    const badge = tile.querySelector(".badge");
    if (badge.textContent !== words) badge.textContent = words;
    badge.classList.toggle("warned", Boolean(image.result?.warnings.length));
  }

  /** Put the focus on the checked image. */
  focus() {
    this._group.querySelector("input:checked")?.focus();
  }

  _newTile(image) {
    const input = element("input");
    Object.assign(input, { type: "radio", name: "image", value: String(image.id) });
    input.addEventListener("change", () => this._select(image.id));
    const name = element("span", foreign(image.name), "name");
    name.title = image.name;
    return element("label", [input, element("span", [], "thumbnail"), name, element("span", [], "badge")], "tile");
  }
}

/** The state of an image in a few words. */
function stateWords({ state, result, progress }) {
  if (state === "running" && Number.isFinite(progress?.fraction) && progress.stage === "network") {
    return `${text("running")} ${Math.round(100 * progress.fraction)} %`;
  }
  if (state !== "done") return text(state);
  const words = [];
  if (!result.meaningful) words.push(text("meaningless"));
  else if (result.findings.some(({ present }) => present !== undefined)) {
    const count = result.findings.filter(({ present }) => present).length;
    words.push(count ? text("presentCount", count) : text("noFinding"));
  } else words.push(text("done"));
  if (result.warnings.length && result.meaningful) words.push(text("warned"));
  return words.join(" · ");
}
