/* Run the readers and the engine of the page in Node: node node_reader.mjs LIST [GRAPH].
 *
 * Each line of LIST is a JSON object {path, out, bits}: the gray pixels of the file `path` go to the file `out`. Prints
 * one JSON object a line: width, height and warnings, or the message of the refusal; with a graph, the model first, and
 * then the results of its files, with the class maps as arrays.
 */

import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename } from "node:path";

const WORKER = new URL("../../chexnet/web/worker/", import.meta.url);
const load = (name) => import(new URL(name, WORKER));
const { resolve } = createRequire(WORKER);

const { InputError } = await load("errors.js");
const { makeDecoders } = await load("codecs.js");
const { WASM_PACKAGES } = await load("wasm_packages.js");
const decoders = makeDecoders((file) => readFile(resolve(WASM_PACKAGES[file])));
const [list, address] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));

const read = address ? await engineReader(address) : imageReader;
for (const line of (await readFile(list, "utf8")).split("\n").filter(Boolean)) {
  try {
    print(await read(JSON.parse(line)));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    print({ error: error.message });
  }
}

async function imageReader({ path, out, bits, crop, chest }) {
  const { checkImage } = await load("image_checks.js");
  const { readImage } = await load("read_image.js");
  const image = await readImage(new Uint8Array(await readFile(path)), path, decoders, bits);
  await writeFile(out, image.gray);
  return { width: image.width, height: image.height, warnings: checkImage(image, crop, chest) };
}

/** Return a reader that predicts with a graph. Node lacks three things of a browser. */
async function engineReader(graphPath) {
  globalThis.self = { crossOriginIsolated: false };
  globalThis.ImageData = class {};
  globalThis.createImageBitmap = () => null;
  const content = await readFile(graphPath);
  globalThis.fetch = async () => new Response(content);
  const { loadGraph } = await load("engine.js");
  try {
    const graph = await loadGraph("model.onnx", undefined, decoders, () => {});
    print(graph.model);
    return async ({ path }) => {
      const { samples, maps, ...result } = await graph.predict(new File([await readFile(path)], basename(path)));
      const plain = Object.entries(maps ?? {}).map(([name, map]) => [name, { ...map, opacity: [...map.opacity] }]);
      return { ...result, maps: Object.fromEntries(plain), samples: samples && { ...samples, values: [...samples.values] } };
    };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    print({ error: error.message });
    process.exit(0);
  }
}
