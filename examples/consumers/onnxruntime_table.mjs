// Print the findings of a radiograph with onnxruntime-node: node onnxruntime_table.mjs MODEL.onnx IMAGE.png (8-bit gray)
import { readFileSync } from "node:fs";
import { decode } from "fast-png";
import ort from "onnxruntime-node";
import protobuf from "protobufjs";

const [graph, picture] = process.argv.slice(2);
const layout = `syntax = "proto3"; message Entry { string key = 1; string value = 2; }
  message Model { repeated Entry metadata = 14; }`; // onnxruntime-node does not show the metadata of a graph
const { metadata } = protobuf.parse(layout).root.lookupType("Model").decode(readFileSync(graph));
const names = JSON.parse(metadata.find(({ key }) => key === "classes").value);
const { data, width, height } = decode(readFileSync(picture));
const session = await ort.InferenceSession.create(graph);
const { probability } = await session.run({ image: new ort.Tensor("uint8", data, [height, width]) });
names.forEach((name, i) => console.log(name.padEnd(20) + probability.data[i].toFixed(6)));
