/** Load a graph; not implemented yet. */
export async function loadGraph() {
  throw new Error("The network is not implemented yet.");
}
