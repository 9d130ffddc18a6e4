/* Compute the whole-image graph of a checkpoint with onnxruntime-web, and interpret its outputs.
 *
 * All that it needs is in the metadata of the graph: model.onnx is the only file beside the programs.
 */

import * as ort from "onnxruntime-web/wasm";

import { InputError, MAX_BYTES, count } from "./errors.js";
import { readFacts } from "./graph_metadata.js";
import { checkImage, isMeaningful } from "./image_checks.js";
import { readImage } from "./read_image.js";

const MAX_THREADS = 8;
const CHEST =
  "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax Consolidation Edema Emphysema " +
  "Fibrosis Pleural_Thickening Hernia";
/** A function that adds two vectors: valid only where the browser has WebAssembly SIMD. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11];

/** Load a graph; `files` has the addresses of the WebAssembly file and its program, `progress` takes stage and fraction.
 *
 * @returns the Graph
 * @throws Error: the browser or the graph cannot be used
 */
export async function loadGraph(address, files, decoders, progress) {
  if (!WebAssembly.validate(new Uint8Array(SIMD)))
    throw new InputError(
      "This browser has no WebAssembly SIMD, which the network needs: use Chrome or Edge 91, Firefox 89, Safari 16.4 or newer.",
    );
  ort.env.wasm.wasmPaths = files;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
  const content = await download(address, (fraction) => progress("download", fraction));
  const facts = readFacts(content);
  progress("compile");
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"], logSeverityLevel: 3 });
  return new Graph(session, facts, decoders);
}

async function download(address, report) {
  const failed = (reason) =>
    new InputError(`The network ${address} cannot be loaded (${reason}): reload the page, or build it again.`);
  const response = await fetch(address).catch((error) => {
    throw failed(error.message);
  });
  if (!response.ok) throw failed(`status ${response.status}`);
  const total = Number(response.headers.get("Content-Length"));
  const parts = [];
  let length = 0;
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    length += part.value.length;
    report(total ? Math.min(1, length / total) : null);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A whole-image graph that is ready to run. */
export class Graph {
  constructor(session, facts, decoders) {
    Object.assign(this, { session, facts, decoders });
    this.chest = facts.classes.some((name) => CHEST.split(" ").includes(name));
  }

  /** Facts about the network, and `header`: the entries that predict.py's JSON file has for all images. */
  get model() {
    const { facts } = this;
    const engine = `onnxruntime-web ${ort.env.versions.common}, ${facts.weights} weights, ${count(ort.env.wasm.numThreads)} threads`;
    const thresholds = facts.thresholds && {
      file: null,
      chosen: facts.thresholds_chosen,
      points: facts.thresholds,
      ckpt_sha256: facts.ckpt_sha256,
      crops: facts.thresholds_crops ?? null,
      ...(facts.calibration ? { calibration: facts.calibration, validation_list: facts.calibration_list ?? null } : {}),
    };
    const header = {
      chexnet: facts.chexnet,
      ckpt: facts.ckpt,
      ckpt_sha256: facts.ckpt_sha256,
      notice: facts.disclaimer,
      engine,
      preprocessing: {
        resize: facts.resize,
        crop: facts.crop,
        scaling: facts.normalization,
        sample_bits: facts.sample_bits,
      },
      crops: facts.crops,
      classes: facts.classes,
      thresholds: thresholds ?? null,
    };
    return {
      name: facts.ckpt,
      notice: facts.disclaimer,
      classes: facts.classes,
      chosen: facts.thresholds_chosen ?? null,
      crops: facts.crops,
      engine,
      calibrated: Boolean(facts.calibration),
      cam_max: facts.cam_max ?? null,
      max_bytes: MAX_BYTES,
      header,
    };
  }

  /** Predict a File; see local_engine.js for the result, whose `maps` are here a value for each class, or null. */
  async predict(file, progress = () => {}) {
    if (file.size > MAX_BYTES)
      throw new InputError(`the file is larger than ${count(MAX_BYTES)} bytes, the maximum: export it again`);
    progress("read");
    const bytes = new Uint8Array(await file.arrayBuffer());
    const image = await readImage(bytes, file.name, this.decoders, this.facts.sample_bits);
    const warnings = checkImage(image, this.facts.crop, this.chest);
    progress("network");
    const outputs = await this.run(image);
    const { width, height } = image;
    const meaningful = isMeaningful(warnings);
    return {
      name: file.name,
      width,
      height,
      meaningful,
      warnings,
      probabilities: Object.fromEntries(this.facts.classes.map((name, i) => [name, outputs.probability.data[i]])),
      findings: this.rank(outputs, meaningful),
      gray: await toBitmap(image),
      samples: image.samples && { width, height, values: image.samples, low: image.low, high: image.high },
      maps: this.toOpacity(outputs.maps),
    };
  }

  /** Run the network on the gray pixels of an image. */
  async run({ gray, width, height }) {
    const input = new ort.Tensor("uint8", gray, [height, width]);
    const outputs = await this.session.run({ image: input });
    if (!outputs.probability.data.every(Number.isFinite))
      throw new InputError("the network gave no number for this image: build the page again, or use predict.py");
    return outputs;
  }

  /** Return the findings in the order of `Prediction.ranked`, with decisions if the image is a radiograph. */
  rank({ probability, calibrated }, decide) {
    const findings = this.facts.classes.map((name, place) => {
      const entry = { name, place, probability: probability.data[place] };
      if (calibrated && Number.isFinite(calibrated.data[place])) entry.calibrated = calibrated.data[place];
      const point = decide && this.facts.thresholds?.[name];
      return point ? { ...entry, ...point, present: entry.probability >= point.threshold } : entry;
    });
    return findings.sort((a, b) => (b.present ?? 0) - (a.present ?? 0) || b.probability - a.probability);
  }

  /** Return class maps as opacity, finding -> {rows, columns, opacity 0..255}, as `chexnet.model.class_maps.to_opacity`. */
  toOpacity(maps) {
    if (!maps) return null;
    const [, rows, columns] = maps.dims;
    const size = rows * columns;
    return Object.fromEntries(
      this.facts.classes.map((name, place) => {
        const values = maps.data.subarray(place * size, (place + 1) * size);
        const shares = Float32Array.from(values, (value) => Math.fround(value + Math.fround(this.facts.bias[place])));
        const opacity = Uint8ClampedArray.from(shares, (share) => (255 * share) / this.facts.cam_max); // NaN becomes 0
        return [name, { rows, columns, opacity: new Uint8Array(opacity.buffer) }];
      }),
    );
  }
}

async function toBitmap({ gray, width, height }) {
  const pixels = new Uint32Array(width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = gray[i] * 0x010101 + 0xff000000;
  const data = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
  return createImageBitmap(data, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
}
