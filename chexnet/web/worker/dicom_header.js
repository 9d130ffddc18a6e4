/* Read the elements of a DICOM file with dicom-parser, under the assumptions of pydicom. */

import dicomParser from "dicom-parser";

import { InputError, toOneLine } from "./errors.js";

const PREAMBLE = 128;
const MAX_ELEMENTS = 15_000;
const [IMPLICIT, EXPLICIT, BIG_ENDIAN] = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"];
const LONG = new Set("OB OD OF OL OV OW SQ UC UN UR UT SV UV".split(" "));
const SHORT = new Set("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(" "));
const NUMBERS = {
  US: ["getUint16", 2],
  SS: ["getInt16", 2],
  UL: ["getUint32", 4],
  SL: ["getInt32", 4],
  FL: ["getFloat32", 4],
  FD: ["getFloat64", 8],
};

export const hasPreamble = (bytes) => ascii(bytes, PREAMBLE, 4) === "DICM";

/** Return whether a file is DICOM without a preamble: it begins with two elements of group 0002 or 0008. */
export function isBare(bytes) {
  const view = viewOf(bytes.subarray(0, 8192));
  const little = !["0,2", "0,8"].includes(`${bytes[0]},${bytes[1]}`);
  let [offset, last, found] = [0, -1, 0];
  while (offset + 12 <= view.byteLength && found < 2) {
    const group = view.getUint16(offset, little);
    const tag = group * 65536 + view.getUint16(offset + 2, little);
    if ((group !== 2 && group !== 8) || tag <= last) break;
    const vr = ascii(bytes, offset + 4, 2);
    if (!LONG.has(vr) && !SHORT.has(vr) && !little) break;
    const length = LONG.has(vr)
      ? view.getUint32(offset + 8, little)
      : SHORT.has(vr)
        ? view.getUint16(offset + 6, little)
        : view.getUint32(offset + 4, true);
    offset += (LONG.has(vr) ? 12 : 8) + length;
    if (length % 2 || offset > view.byteLength) break;
    [last, found] = [tag, found + 1];
  }
  return found > 1;
}

/** Read the header of a file; `check` is given its transfer syntax, if any, before the elements are read.
 *
 * @throws InputError: the elements are damaged
 */
export function readHeader(bytes, check) {
  const start = hasPreamble(bytes) ? PREAMBLE + 4 : 0;
  try {
    const meta = readElements(bytes, start, false, true, (group) => group !== 2);
    const syntax = new Header(meta.elements, bytes, true, false).text("x00020010");
    if (syntax) check(syntax);
    const [implicit, little] = encodingOf(bytes, meta.end, syntax);
    const { elements } = readElements(bytes, meta.end, implicit, little, () => false);
    const inferred = implicit ? IMPLICIT : little ? EXPLICIT : BIG_ENDIAN;
    return new Header(elements, bytes, little, implicit, syntax || inferred);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      `cannot be decoded as a DICOM image: its elements are damaged or truncated (${toOneLine(error.message ?? error)}); ` +
        "export it again",
    );
  }
}

/** Return whether the data set is implicit VR and little endian, as pydicom decides it. */
function encodingOf(bytes, offset, syntax) {
  const vr = ascii(bytes, offset + 4, 2);
  const group = bytes[offset] + 256 * bytes[offset + 1];
  if (!syntax) return LONG.has(vr) || SHORT.has(vr) ? [false, group < 1024] : [true, true];
  return [!/^[A-Z]{2}$/.test(vr), syntax !== BIG_ENDIAN];
}

function readElements(bytes, offset, implicit, little, stop) {
  const parser = little ? dicomParser.littleEndianByteArrayParser : dicomParser.bigEndianByteArrayParser;
  const stream = new dicomParser.ByteStream(parser, bytes, offset);
  const elements = {};
  for (let count = 0; stream.position + 8 <= bytes.length; count++) {
    const group = parser.readUint16(bytes, stream.position);
    if (stop(group)) break;
    if (count === MAX_ELEMENTS)
      throw new InputError(`a DICOM file of too many elements, expected at most about ${MAX_ELEMENTS}`);
    const element = implicit
      ? dicomParser.readDicomElementImplicit(stream)
      : dicomParser.readDicomElementExplicit(stream, []);
    if (!implicit && !LONG.has(element.vr) && !SHORT.has(element.vr))
      throw new InputError("a DICOM file with an element of an unknown kind: it is damaged; get it again, or export it again");
    if (element.dataOffset + element.length > bytes.length)
      throw new InputError("a DICOM file that is truncated; get the file again, or export it again");
    elements[element.tag] = element;
  }
  return { elements, end: stream.position };
}

/** The elements of a data set. Tags are those of dicom-parser, such as x00280010. */
export class Header {
  constructor(elements, bytes, little, implicit, syntax = "") {
    Object.assign(this, { elements, bytes, little, implicit, syntax });
    this.view = viewOf(bytes);
  }

  has(tag) {
    return tag in this.elements;
  }

  /** Return the bytes of an element, null if it is missing. */
  data(tag) {
    const element = this.elements[tag];
    return element ? this.bytes.subarray(element.dataOffset, element.dataOffset + element.length) : null;
  }

  /** Return an element as text without padding; "" if it is missing or empty. */
  text(tag) {
    return new TextDecoder("latin1").decode(this.data(tag) ?? new Uint8Array()).replace(/[\0 ]+$/, "").trimStart();
  }

  /** Return the values of an element: numbers if they are stored in binary, otherwise text. `vr` counts if it has none. */
  values(tag, vr) {
    const element = this.elements[tag];
    if (!element || !element.length) return [];
    const stored = this.implicit || !element.vr || element.vr === "UN" ? vr : element.vr;
    if (!(stored in NUMBERS)) return this.text(tag) === "" ? [] : this.text(tag).split("\\");
    const [read, size] = NUMBERS[stored];
    if (element.length % size)
      throw new InputError(`a DICOM file whose element ${tag.slice(1)} has a wrong length: it is damaged; export it again`);
    return Array.from({ length: Math.floor(element.length / size) }, (_, i) =>
      this.view[read](element.dataOffset + i * size, this.little),
    );
  }

  /** Return the integer of an element; null if it has none, or a text if it has something else. */
  integer(tag, vr = "US") {
    const values = this.values(tag, vr);
    if (!values.length) return null;
    if (values.length > 1) return `[${values.join(", ")}]`;
    return typeof values[0] === "number" ? values[0] : (parseNumber(values[0]) ?? values[0]);
  }

  /** Return the number in an element, null if it has none; see `dicom_samples.read_number`. */
  number(tag, name, { vr = "DS", multiple = false } = {}) {
    const values = this.values(tag, vr);
    if (!values.length || values[0] === "") return null;
    const number = typeof values[0] === "number" ? values[0] : parseNumber(values[0]);
    const shown = toOneLine(values[0]);
    if (number === null) throw new InputError(`a DICOM file whose ${name} cannot be read as a number: ${shown}`);
    if (!Number.isFinite(number)) throw new InputError(`a DICOM file whose ${name} is ${shown}, expected a finite number`);
    if (values.length > 1 && !multiple)
      throw new InputError(`a DICOM file with ${values.length} values of ${name}, expected one`);
    return number;
  }

  /** Return the first item of a sequence as a header, null if the sequence is missing or empty. */
  item(tag, name) {
    const element = this.elements[tag];
    if (!element || (!element.items && !element.length)) return null;
    if (!element.items)
      throw new InputError(`a DICOM file whose ${name} cannot be read; export it again`);
    const dataSet = element.items[0]?.dataSet;
    return dataSet ? new Header(dataSet.elements, this.bytes, this.little, this.implicit) : null;
  }
}

/** Parse a decimal string as Python's `float`, without underscores; null for other text. */
export function parseNumber(text) {
  const trimmed = String(text).trim();
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : null;
}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const ascii = (bytes, offset, length) => String.fromCharCode(...bytes.subarray(offset, offset + length));
