/* The worker of the page: reads image files and computes the network. local_engine.js sends it messages. */

import { loadGraph } from "./engine.js";

let graph = null;

self.onmessage = async ({ data: { id, task, ...message } }) => {
  const progress = (stage, fraction = null) => self.postMessage({ id, progress: { stage, fraction } });
  try {
    if (task === "load") graph = await loadGraph(message.graph, progress);
    const value = task === "load" ? graph.model : await graph.predict(message.file, progress);
    self.postMessage({ id, value }, value.transfer ?? []);
  } catch (error) {
    self.postMessage({ id, error: error.message || String(error) });
  }
};
