/* Run the reader of the page in Node: read image files and write their gray pixels, for the tests.
 *
 * node node_reader.js LIST: each line of LIST is a JSON object {path, out, bits}. Prints one JSON object a line, with
 * either width, height and warnings, or the message of the refusal.
 */

import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { makeDecoders } from "./codecs.js";
import { InputError } from "./errors.js";
import { checkImage } from "./image_checks.js";
import { readImage } from "./read_image.js";
import { WASM_PACKAGES } from "./wasm_packages.js";

const { resolve } = createRequire(import.meta.url);
const decoders = makeDecoders((file) => readFile(resolve(WASM_PACKAGES[file])));

for (const line of (await readFile(process.argv[2], "utf8")).split("\n").filter(Boolean)) {
  const { path, out, bits, crop, chest } = JSON.parse(line);
  try {
    const image = await readImage(new Uint8Array(await readFile(path)), path, decoders, bits);
    await writeFile(out, image.gray);
    console.log(JSON.stringify({ width: image.width, height: image.height, warnings: checkImage(image, crop, chest) }));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    console.log(JSON.stringify({ error: error.message }));
  }
}
