/* Engine of the page without a server: a worker reads the files and computes the network in the browser.
 *
 * `createEngine` starts worker.js, which lies beside this file with the graphs and the .wasm files, and loads a graph:
 * that with float16 weights, or with `weights: "float32"` the one that is twice as large. No image leaves the page, and
 * nothing is loaded from another place.
 *
 * Progress is reported as {stage, fraction}: the stage is "download", "compile", "read" or "network", and the fraction
 * of it that is done is a number from 0 to 1, or null where it is unknown.
 */

const GRAPHS = { float16: "model.onnx", float32: "model_float32.onnx" };

export default async function createEngine(onProgress = () => {}, { weights } = {}) {
  const graph = GRAPHS[weights ?? "float16"];
  if (!graph) throw new Error(`Weights of ${weights} do not exist: choose ${Object.keys(GRAPHS).join(" or ")}.`);
  const worker = connect(new Worker(new URL("worker.js", import.meta.url), { type: "module" }));
  const model = await worker.call({ task: "load", graph: new URL(graph, import.meta.url).href }, onProgress);
  return { model, predict };

  async function predict(file, progress = () => {}) {
    const { maps, ...result } = await worker.call({ task: "predict", file }, progress);
    return { ...result, maps: async (name) => maps?.[name] ?? null };
  }
}

/** Return an object whose `call` sends a message to a worker and resolves or rejects with its answer. */
function connect(worker) {
  const pending = new Map();
  let count = 0;
  let broken = null;

  worker.onmessage = ({ data: { id, progress, value, error } }) => {
    const call = pending.get(id);
    if (progress) return call?.onProgress(progress);
    pending.delete(id);
    if (error) call?.reject(new Error(error));
    else call?.resolve(value);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    broken = new Error(
      `The program that reads images did not start or stopped (${event.message || "worker.js cannot be loaded"}): ` +
        "reload the page; if that does not help, the folder of the page is incomplete and must be built again.",
    );
    for (const call of pending.values()) call.reject(broken);
    pending.clear();
  };

  return {
    call: (message, onProgress) =>
      new Promise((resolve, reject) => {
        if (broken) return reject(broken);
        count += 1;
        pending.set(count, { resolve, reject, onProgress });
        worker.postMessage({ id: count, ...message });
      }),
  };
}
