/* Bundle the worker of the page: node build.mjs DIR writes worker.js and the WebAssembly files to DIR. */

import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { WASM_PACKAGES } from "./wasm_packages.js";

const [folder] = process.argv.slice(2);
const { resolve } = createRequire(import.meta.url);
const runtime = dirname(resolve("onnxruntime-web"));

await mkdir(folder, { recursive: true });
await build({
  entryPoints: [fileURLToPath(new URL("worker.js", import.meta.url))],
  outfile: join(folder, "worker.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2023",
  conditions: ["onnxruntime-web-use-extern-wasm"],
  external: ["fs", "path", "crypto", "node:*"],
  legalComments: "inline",
  logLevel: "warning",
});
for (const [file, source] of Object.entries(WASM_PACKAGES)) await copyFile(resolve(source), join(folder, file));
for (const file of ["ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs"])
  await copyFile(join(runtime, file), join(folder, file));
