/* The images of the page and their predictions, computed one after the other. */

import { packPixels, thumbnail, unpackPixels } from "./pixels.js";
import { text } from "./texts.js";

const THUMBNAIL = 144;

/** The images in the order in which they were added.
 *
 * An image is {id, name, file, state, progress, error, result, packed, thumbnail}; its state is "waiting", "running",
 * "done" or "failed". `onChange(image)` is called whenever one of them changes.
 */
export class Queue {
  constructor(onChange) {
    this.images = [];
    this._engine = null;
    this._failure = "";
    this._last = 0;
    this._busy = false;
    this._onChange = onChange;
  }

  /** Compute with this engine from now on. */
  start(engine) {
    this._engine = engine;
    this._work();
  }

  /** Refuse all images for this reason. */
  fail(reason) {
    this._failure = reason;
    this._work();
  }

  /** Add files and return their images. */
  add(files) {
    const images = [...files].map((file) => ({ id: ++this._last, name: file.name, file, state: "waiting" }));
    this.images.push(...images);
    for (const image of images) this._onChange(image);
    this._work();
    return images;
  }

  remove(image) {
    this.images = this.images.filter((other) => other !== image);
  }

  /** Return the images that have a result. */
  get done() {
    return this.images.filter((image) => image.state === "done");
  }

  get failed() {
    return this.images.filter((image) => image.state === "failed");
  }

  async _work() {
    if (this._busy || !(this._engine || this._failure)) return;
    this._busy = true;
    for (let image; (image = this.images.find(({ state }) => state === "waiting")); ) {
      await this._predict(image);
    }
    this._busy = false;
  }

  async _predict(image) {
    this._set(image, { state: "running", progress: null });
    try {
      if (this._failure) throw new Error(this._failure);
      await checkFile(image.file, this._engine.model.max_bytes);
      const { gray, samples, ...result } = await this._engine.predict(image.file, (progress) =>
        this._set(image, { progress }),
      );
      const packed = await packPixels({ ...result, gray, samples });
      const small = thumbnail(await unpackPixels(packed), THUMBNAIL);
      this._set(image, { state: "done", result: { ...result, name: image.name }, packed, thumbnail: small });
    } catch (error) {
      this._set(image, { state: "failed", error: withoutName(error.message || String(error), image.name) });
    }
  }

  _set(image, changes) {
    Object.assign(image, changes);
    if (this.images.includes(image)) this._onChange(image);
  }
}

/** Throw an Error if a file cannot be read at all or is too large. */
async function checkFile(file, maxBytes) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error(text("folder"));
  }
  if (file.size === 0) throw new Error(text("empty"));
  if (file.size > maxBytes) throw new Error(text("tooLarge", file.size, maxBytes));
}

/** The page shows the name of the image beside its error. */
const withoutName = (message, name) => (message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message);
