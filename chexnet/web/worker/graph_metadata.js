/* Read the metadata of an ONNX file, which onnxruntime-web does not expose.
 *
 * An ONNX file is a ModelProto of protocol buffers. Its field 14, metadata_props, is repeated and contains a
 * StringStringEntryProto: field 1 is the key, field 2 the value.
 */

import { InputError } from "./errors.js";

const PROPERTIES = 14;
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];
const SCHEMA = 1;

/** Return the facts about a whole-image graph; see chexnet.inference.whole_image.metadata.
 *
 * @param {Uint8Array} bytes content of the file
 * @throws InputError: it is not a whole-image graph, or one of another version
 */
export function readFacts(bytes) {
  const facts = {};
  try {
    for (const [field, value] of fields(bytes))
      if (field === PROPERTIES) {
        const [key, text] = [1, 2].map((wanted) => decode(fields(value).find(([number]) => number === wanted)?.[1]));
        facts[key] = parse(text);
      }
  } catch {
    throw new InputError("model.onnx is damaged or not a graph: build the page again with tools/build_page.py.");
  }
  if (!Array.isArray(facts.classes) || facts.schema !== SCHEMA)
    throw new InputError(
      `model.onnx is a graph of layout ${facts.schema ?? "unknown"}, and this page reads layout ${SCHEMA}: ` +
        "build the page again with tools/build_page.py.",
    );
  return facts;
}

const decode = (bytes) => new TextDecoder().decode(bytes ?? new Uint8Array());

/** Parse JSON; text that is not JSON stays as it is. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Return the [number, content] of the fields of a message; the content of a number is null. */
function fields(bytes) {
  const result = [];
  let offset = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (offset >= bytes.length) throw new RangeError();
      const byte = bytes[offset++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (offset < bytes.length) {
    const key = varint();
    const kind = key % 8;
    const size = { [VARINT]: 0, [FIXED64]: 8, [FIXED32]: 4 }[kind] ?? (kind === BYTES ? varint() : NaN);
    if (kind === VARINT) varint();
    if (!(offset + size <= bytes.length)) throw new RangeError();
    result.push([Math.floor(key / 8), kind === BYTES ? bytes.subarray(offset, offset + size) : null]);
    offset += size;
  }
  return result;
}
