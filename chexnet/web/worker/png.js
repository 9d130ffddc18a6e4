/* Decode PNG files (PNG specification, third edition) to the pixels that Pillow gives.
 *
 * The browser inflates the data and verifies their checksum. A library is not used, because fast-png, the one that is
 * kept best, misreads interlaced images of less than 8 bits and does not bound what it inflates.
 */

import { InputError, checkBytes, checkSize, count } from "./errors.js";
import { readOrientation } from "./orientation.js";
import { MAX_SAMPLE_BITS, fromBytes, fromSamples, orient } from "./rasters.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA] = [0, 2, 3, 4, 6];
const CHANNELS = { [GRAY]: 1, [RGB]: 3, [PALETTE]: 1, [GRAY_ALPHA]: 2, [RGBA]: 4 };
const DEPTHS = { [GRAY]: [1, 2, 4, 8, 16], [RGB]: [8, 16], [PALETTE]: [1, 2, 4, 8], [GRAY_ALPHA]: [8, 16], [RGBA]: [8, 16] };
/** Passes of an interlaced image: first column and row, step of the columns and rows. */
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]; // prettier-ignore

export const isPng = (bytes) => SIGNATURE.every((byte, i) => bytes[i] === byte);

/** Decode a PNG file; see rasters.js for the result. */
export async function decodePng(bytes, sampleBits = MAX_SAMPLE_BITS) {
  const { chunks, warning } = readChunks(bytes);
  const header = readHeader(chunks);
  const { width, height, depth, color } = header;
  checkSize(width, height);
  checkBytes(bytes.length, width * height);
  if (animated(chunks)) throw new InputError("several frames, expected a single image");
  if (depth > sampleBits && color !== GRAY)
    throw new InputError(
      `${depth}-bit color, or gray with transparency, which is decoded to 8 bits only; the network was trained with ` +
        `plain gray of ${sampleBits} bits`,
    );
  const samples = deinterlace(await inflate(imageData(chunks), byteCount(header)), header);
  const image =
    color === GRAY && depth === 16
      ? fromSamples(width, height, samples, 65535, sampleBits, warning)
      : fromBytes(width, height, toPixels(samples, header, chunks), warning);
  const exif = chunks.findLast((chunk) => chunk.kind === "eXIf")?.data ?? null;
  return orient(image, readOrientation(exif, readXmp(chunks)));
}

/** Split a file into its chunks; one that is ancillary and has a wrong checksum is left out, with a warning. */
function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [chunks, removed] = [[], []];
  for (let offset = 8; offset + 12 <= bytes.length; ) {
    const end = offset + 12 + view.getUint32(offset);
    if (end > bytes.length) break;
    const name = bytes.subarray(offset + 4, offset + 8);
    const kind = String.fromCharCode(...name);
    if (crc32(bytes.subarray(offset + 4, end - 4)) === view.getUint32(end - 4))
      chunks.push({ kind, data: bytes.subarray(offset + 8, end - 4) });
    else if (name[0] & 0x20) removed.push(printable(kind));
    else
      throw new InputError(`a damaged PNG: the checksum of its ${printable(kind)} chunk at byte ${offset} is wrong`);
    offset = end;
    if (kind === "IEND") break;
  }
  if (chunks.some(({ kind }) => !/^[A-Za-z]{4}$/.test(kind)))
    throw new InputError("a damaged PNG: it has a chunk whose name is not of letters; save the image again as PNG");
  const warning = removed.length
    ? `a damaged PNG: ignored ${removed.join(", ")}, whose checksum is wrong; the pixels are intact`
    : "";
  return { chunks, warning };
}

/** Format the name of a chunk as Python's `repr` of bytes does. */
const printable = (kind) =>
  kind.replace(/[^ -[\]-~]/g, (character) => {
    const code = character.charCodeAt(0);
    return { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" }[code] ?? `\\x${code.toString(16).padStart(2, "0")}`;
  });

function readHeader(chunks) {
  const data = chunks[0]?.kind === "IHDR" ? chunks[0].data : new Uint8Array();
  if (data.length !== 13 || chunks.filter(({ kind }) => kind === "IHDR").length > 1)
    throw new InputError("a damaged PNG: its header is missing or not the first chunk; save the image again as PNG");
  const view = new DataView(data.buffer, data.byteOffset);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, color, compression, filter, interlace] = data.subarray(8);
  if (!DEPTHS[color]?.includes(depth) || compression || filter || interlace > 1)
    throw new InputError(
      `a damaged PNG: its header declares ${depth} bits, color type ${color}, compression ${compression}, filter ` +
        `${filter} and interlacing ${interlace}; save the image again as PNG`,
    );
  return { width, height, depth, color, interlaced: interlace === 1 };
}

function animated(chunks) {
  const control = chunks.filter(({ kind, data }) => kind === "acTL" && data.length >= 8);
  return control.some(({ data }) => new DataView(data.buffer, data.byteOffset).getUint32(0) > 1);
}

/** Join the image data: the first run of IDAT chunks, as in Pillow. */
function imageData(chunks) {
  const start = chunks.findIndex(({ kind }) => kind === "IDAT");
  const length = chunks.slice(start).findIndex(({ kind }) => kind !== "IDAT");
  if (start < 0) throw new InputError("a PNG without pixels, or truncated before them");
  return chunks.slice(start, length < 0 ? undefined : start + length).map(({ data }) => data);
}

/** Return the parts of which an image consists: itself, or the passes of an interlaced one. */
function parts({ width, height, depth, color, interlaced }) {
  return (interlaced ? PASSES : [[0, 0, 1, 1]])
    .map(([x, y, dx, dy]) => ({ x, y, dx, dy, columns: Math.ceil((width - x) / dx), rows: Math.ceil((height - y) / dy) }))
    .filter(({ columns, rows }) => columns > 0 && rows > 0)
    .map((part) => ({ ...part, rowBytes: Math.ceil((part.columns * depth * CHANNELS[color]) / 8) }));
}

const byteCount = (header) => parts(header).reduce((sum, { rows, rowBytes }) => sum + rows * (rowBytes + 1), 0);

/** Inflate the image data to exactly `size` bytes. */
async function inflate(pieces, size) {
  const result = new Uint8Array(size);
  let length = 0;
  const reader = new Blob(pieces).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  try {
    for (let part = await reader.read(); !part.done && length <= size; part = await reader.read()) {
      if (length + part.value.length <= size) result.set(part.value, length);
      length += part.value.length;
    }
  } catch {
    throw new InputError("a damaged PNG: its pixels cannot be inflated; get the file again, or save it again as PNG");
  }
  if (length === size) return result;
  reader.cancel().catch(() => {});
  const found = length < size ? `only ${count(length)}` : "more";
  throw new InputError(`a damaged PNG: ${found} bytes of pixels, expected ${count(size)}; save the image again as PNG`);
}

/** Undo filters and interlacing: one integer per sample, [H * W * channels]. */
function deinterlace(data, header) {
  const { width, height, depth, color } = header;
  const channels = CHANNELS[color];
  const result = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  let offset = 0;
  for (const { x, y, dx, dy, columns, rows, rowBytes } of parts(header)) {
    let previous = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++, offset += rowBytes + 1) {
      const line = data.subarray(offset + 1, offset + 1 + rowBytes);
      unfilter(data[offset], line, previous, Math.max(1, (channels * depth) >> 3));
      unpack(line, depth, columns, channels, result, (y + row * dy) * width + x, dx);
      previous = line;
    }
  }
  return result;
}

/** Undo the filter of a line, in place (section 9). */
function unfilter(filter, line, previous, step) {
  if (filter > 4) throw new InputError("a damaged PNG: it has an unknown filter; save the image again as PNG");
  if (filter === 0) return;
  for (let i = 0; i < line.length; i++) {
    const left = i < step ? 0 : line[i - step];
    const up = previous[i];
    if (filter === 1) line[i] += left;
    else if (filter === 2) line[i] += up;
    else if (filter === 3) line[i] += (left + up) >> 1;
    else line[i] += paeth(left, up, i < step ? 0 : previous[i - step]);
  }
}

function paeth(left, up, corner) {
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

/** Write the samples of a line to `result`, from pixel `first` in steps of `step` pixels. */
function unpack(line, depth, columns, channels, result, first, step) {
  const mask = (1 << depth) - 1;
  for (let column = 0, i = 0; column < columns; column++)
    for (let channel = 0, j = channels * (first + column * step); channel < channels; channel++, i++, j++) {
      if (depth === 8) result[j] = line[i];
      else if (depth === 16) result[j] = (line[2 * i] << 8) | line[2 * i + 1];
      else result[j] = (line[(i * depth) >> 3] >> (8 - depth - ((i * depth) & 7))) & mask;
    }
}

/** Convert samples to 8-bit gray or colors, without transparency. Of 16 bits in colors, Pillow keeps the upper 8. */
function toPixels(samples, { width, height, depth, color }, chunks) {
  if (color === PALETTE) return applyPalette(samples, chunks);
  const [channels, kept] = [CHANNELS[color], color === RGB || color === RGBA ? 3 : 1];
  const shift = depth === 16 ? 8 : 0;
  const scale = depth < 8 ? 255 / (2 ** depth - 1) : 1;
  const pixels = new Uint8Array(width * height * kept);
  for (let i = 0, j = 0; i < pixels.length; j += channels)
    for (let channel = 0; channel < kept; channel++) pixels[i++] = (samples[j + channel] >> shift) * scale;
  return pixels;
}

function applyPalette(samples, chunks) {
  const start = chunks.findIndex(({ kind }) => kind === "IDAT");
  const palette = chunks.slice(0, start).findLast(({ kind }) => kind === "PLTE")?.data ?? new Uint8Array();
  const rgb = new Uint8Array(3 * samples.length);
  for (let i = 0; i < samples.length; i++) {
    const entry = 3 * samples[i];
    if (entry + 3 > palette.length)
      throw new InputError("a damaged PNG: a pixel has a color that its palette lacks; save the image again as PNG");
    rgb.set(palette.subarray(entry, entry + 3), 3 * i);
  }
  return rgb;
}

/** Return the XMP metadata as text, null if there are none. EXIF data in a text chunk are refused: they may turn it. */
function readXmp(chunks) {
  let xmp = null;
  for (const { kind, data } of chunks) {
    if (!["tEXt", "zTXt", "iTXt"].includes(kind)) continue;
    const text = new TextDecoder("latin1").decode(data);
    const keyword = text.split("\0", 1)[0];
    if (keyword === "exif" || keyword === "Raw profile type exif")
      throw new InputError(`a PNG with EXIF data in a text chunk, which the page does not read; save it again as PNG`);
    if (keyword !== "XML:com.adobe.xmp") continue;
    if (kind !== "iTXt" || data[keyword.length + 1])
      throw new InputError("a PNG with compressed XMP data, which the page does not read; save it again as PNG");
    xmp = text.slice(keyword.length + 3);
  }
  return xmp;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) value = CRC_TABLE[(value ^ bytes[i]) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}
