/* The worker of the page: reads image files and computes the network. local_engine.js sends it messages. */

import { makeDecoders } from "./codecs.js";
import { loadGraph } from "./engine.js";

const beside = (file) => new URL(file, import.meta.url).href;
const RUNTIME = {
  wasm: beside("ort-wasm-simd-threaded.wasm"),
  mjs: beside("ort-wasm-simd-threaded.mjs"),
};

const decoders = makeDecoders(async (file) => {
  const response = await fetch(beside(file));
  if (!response.ok) throw new Error(`${file} cannot be loaded (status ${response.status})`);
  return response.arrayBuffer();
});

let graph = null;

self.onmessage = async ({ data: { id, task, ...message } }) => {
  const progress = (stage, fraction = null) => self.postMessage({ id, progress: { stage, fraction } });
  try {
    if (task === "load") {
      graph = await loadGraph(message.graph, RUNTIME, decoders, progress);
      self.postMessage({ id, value: graph.model });
    } else {
      const value = await graph.predict(message.file, progress);
      self.postMessage({ id, value }, [value.gray]);
    }
  } catch (error) {
    self.postMessage({ id, error: error.message || String(error) });
  }
};
