/* Decode the stored pixels of a DICOM image: Uint8Array, Int8Array, Uint16Array or Int16Array [H * W]. */

import { CONVERT, InputError, count } from "./errors.js";
import { countScans } from "./jpeg.js";

const MAX_FILL = 512;
const MAX_FRAGMENTS = 5_000;
const MAX_SCANS = 30;
const PIXELS = "x7fe00010";

const refuse = (message) => {
  throw new InputError(`a DICOM file ${message}`);
};

/** Decode the pixels of a header that `checkHeader` accepted, whose description is `shape`. */
export async function readPixels(header, shape, compression, decoders) {
  const element = header.elements[PIXELS];
  if (!element || (!element.length && !element.hadUndefinedLength))
    refuse("without pixels, or truncated before them");
  if (compression === "none") return readNative(header, shape, element);
  const stream = joinFragments(header, element);
  if (compression === "rle") return decodeRle(stream, shape);
  return decodeStream(stream, shape, compression, decoders);
}

function readNative(header, { rows, columns, allocated, signed }, element) {
  if (element.hadUndefinedLength || element.encapsulatedPixelData)
    refuse("of compressed pixels with an uncompressed or missing Transfer Syntax");
  const data = header.data(PIXELS);
  const bytes = allocated / 8;
  const size = rows * columns * bytes;
  const extra = data.length - size;
  const padded = extra <= MAX_FILL && data.subarray(size).every((byte) => byte === 0);
  if (extra < 0 || (extra >= Math.max(2, Math.min(rows, columns) * bytes) && !padded))
    refuse(
      `with ${count(data.length)} bytes of pixels, expected ${count(size)} for ${columns} x ${rows} of ${allocated} bits`,
    );
  if (!header.little && allocated === 8 && element.vr === "OW")
    refuse(`of 8-bit samples in big-endian words, which the page does not read: ${CONVERT}`);
  const pixels = data.slice(0, size);
  if (!header.little) swapBytes(pixels, bytes);
  return asType(pixels.buffer, allocated, signed);
}

function swapBytes(data, size) {
  for (let i = 0; size === 2 && i < data.length; i += 2) [data[i], data[i + 1]] = [data[i + 1], data[i]];
}

function asType(buffer, allocated, signed) {
  if (allocated === 8) return signed ? new Int8Array(buffer) : new Uint8Array(buffer);
  return signed ? new Int16Array(buffer) : new Uint16Array(buffer);
}

/** Join the fragments of the only frame. */
function joinFragments(header, { fragments }) {
  if (!fragments?.length) refuse("whose compressed pixels are not in fragments, or truncated; export it again");
  if (fragments.length > MAX_FRAGMENTS)
    refuse(`whose pixels are in ${count(fragments.length)} fragments, expected at most ${count(MAX_FRAGMENTS)}`);
  const result = new Uint8Array(fragments.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const { position, length } of fragments) {
    result.set(header.bytes.subarray(position, position + length), offset);
    offset += length;
  }
  return result;
}

/** Decode run-length encoded pixels (PS3.5 annex G): one segment for each byte of a sample, the highest first. */
function decodeRle(data, { rows, columns, allocated, signed }) {
  const [pixels, bytes] = [rows * columns, allocated / 8];
  const damaged = "whose RLE data do not fit its pixels";
  if (data.length < 64) refuse(damaged);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.getUint32(0, true) !== bytes) refuse(damaged);
  const result = new Uint8Array(pixels * bytes);
  for (let segment = 0; segment < bytes; segment++) {
    const start = view.getUint32(4 + 4 * segment, true);
    const end = segment + 1 < bytes ? view.getUint32(8 + 4 * segment, true) : data.length;
    if (start < 64 || end > data.length || start > end) refuse(damaged);
    const plane = decodeSegment(data.subarray(start, end), pixels);
    if (!plane) refuse(damaged);
    for (let i = 0, j = bytes - 1 - segment; i < pixels; i++, j += bytes) result[j] = plane[i];
  }
  return asType(result.buffer, allocated, signed);
}

/** Decode a segment to `size` bytes; null if it is shorter, or longer by more than padding to an even length. */
function decodeSegment(data, size) {
  const plane = new Uint8Array(size + 1);
  let [length, i] = [0, 0];
  while (i < data.length && length < size) {
    const control = data[i];
    const run = control < 128 ? control + 1 : control > 128 ? 257 - control : 0;
    const bytes = control < 128 ? run : run && 1;
    i += 1;
    if (i + bytes > data.length || length + run > size + 1) return null;
    if (control < 128) plane.set(data.subarray(i, i + run), length);
    else plane.fill(data[i], length, length + run);
    i += bytes;
    length += run;
  }
  return length < size || data.length - i > 2 ? null : plane;
}

/** Decode a JPEG, JPEG-LS or JPEG 2000 stream whose header agrees with that of the file. */
async function decodeStream(stream, shape, compression, decoders) {
  const { rows, columns, allocated, stored, signed } = shape;
  const lossy = checkStream(stream, shape);
  if (compression === "jpeg" && lossy && lossy.bits > 8)
    refuse(`of lossy JPEG with ${lossy.bits} bits, which the page does not read: ${CONVERT}`);
  const decoded = await decoders[compression](stream).catch(() => null);
  if (!decoded) refuse("whose compressed pixels are damaged or truncated; get the file again, or export it again");
  const { width, height, channels, bits, samples } = decoded;
  if (width !== columns || height !== rows || channels !== 1)
    refuse(`whose compressed pixels are ${width} x ${height} of ${channels} channels, expected ${columns} x ${rows} of 1`);
  const contradicts = compression === "jpeg2000" && decoded.signed !== signed;
  if (bits > allocated || bits > 8 !== allocated > 8 || bits < stored || contradicts)
    refuse(
      `with ${stored} bits stored of ${allocated}, ${signed ? "signed" : "unsigned"}, but compressed pixels of ${bits} ` +
        `bits${contradicts ? ` and the other sign` : ""}, which the page does not read: ${CONVERT}`,
    );
  const data = samples.slice();
  return asType(data.buffer, allocated, signed);
}

/** Compare the header of a compressed stream with that of the file; return it if it is lossy JPEG, otherwise null. */
function checkStream(stream, { rows, columns, stored }) {
  const header = readStreamHeader(stream);
  if (!header) return null;
  const { width, height, channels, bits, lossy } = header;
  if (width !== columns || height !== rows)
    refuse(
      `whose header declares ${columns} x ${rows} pixels, but its compressed data ${width} x ${height}`,
    );
  if (channels !== 1) refuse(`whose compressed data have ${channels} channels, expected 1`);
  if (lossy && bits < Math.min(stored, 12))
    refuse(`whose header declares ${stored} bits stored, but its compressed data ${bits}`);
  const scans = stream[0] === 0xff && stream[1] === 0xd8 ? countScans(stream) : 0;
  if (scans > MAX_SCANS) refuse(`whose JPEG has ${count(scans)} scans, expected at most ${MAX_SCANS}`);
  return lossy ? header : null;
}

/** Read the header of a JPEG, JPEG-LS or JPEG 2000 stream, as `codestreams.read_codestream_header`. */
function readStreamHeader(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const start = findCodestream(data);
  if (start >= 0) {
    if (data.length < start + 43) return null;
    const [right, bottom, left, top] = [8, 12, 16, 20].map((offset) => view.getUint32(start + offset));
    const [channels, depth] = [view.getUint16(start + 40), view.getUint8(start + 42)];
    return { width: right - left, height: bottom - top, channels, bits: (depth & 127) + 1, lossy: false };
  }
  if (data[0] !== 0xff || data[1] !== 0xd8) return null;
  for (let offset = 2; offset + 10 <= data.length; ) {
    const marker = view.getUint16(offset);
    if (marker === 0xfff7 || (marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)))
      return {
        width: view.getUint16(offset + 7),
        height: view.getUint16(offset + 5),
        channels: view.getUint8(offset + 9),
        bits: view.getUint8(offset + 4),
        lossy: marker <= 0xffc2,
      };
    offset += marker === 0xffff ? 1 : 2 + view.getUint16(offset + 2);
  }
  return null;
}

/** Return the offset of a JPEG 2000 codestream in the first bytes, -1 if there is none. */
function findCodestream(data) {
  const end = Math.min(data.length, 512) - 3;
  for (let i = 0; i < end; i++)
    if (data[i] === 0xff && data[i + 1] === 0x4f && data[i + 2] === 0xff && data[i + 3] === 0x51) return i;
  return -1;
}
