/* Decode JPEG files (T.81) with libjpeg-turbo, which Pillow contains, too: the pixels are the same. */

import { CONVERT, InputError, checkBytes, checkSize, count } from "./errors.js";
import { readOrientation } from "./orientation.js";
import { fromBytes, orient } from "./rasters.js";

const MAX_SCANS = 100;
const [EXIF, XMP] = ["Exif\0\0", "http://ns.adobe.com/xap/1.0/\0"];
const DAMAGED = "a damaged or truncated JPEG; get the file again, or save the image again";

export const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;

/** Decode a JPEG file; `decoders` is that of codecs.js. See rasters.js for the result. */
export async function decodeJpeg(bytes, decoders) {
  const scans = countScans(bytes);
  if (scans > MAX_SCANS) throw new InputError(`a JPEG of ${count(scans)} scans, expected at most ${MAX_SCANS}`);
  const { frame, exif, xmp } = readSegments(bytes);
  if (!frame) throw new InputError(DAMAGED);
  if (frame.bits !== 8) throw new InputError(`a JPEG of ${frame.bits}-bit samples, expected 8 bits; ${CONVERT}`);
  if (frame.channels === 4) throw new InputError("pixels of mode CMYK, expected 8- or 16-bit gray or 8-bit color");
  if (frame.channels !== 1 && frame.channels !== 3)
    throw new InputError(`a JPEG of ${frame.channels} channels, expected gray or color; ${CONVERT}`);
  if (![0xc0, 0xc1, 0xc2].includes(frame.marker))
    throw new InputError(`an arithmetic or lossless JPEG, which the page does not read: ${CONVERT}`);
  checkSize(frame.width, frame.height);
  checkBytes(bytes.length, frame.width * frame.height);
  const decoded = await decoders.jpeg(bytes).catch(() => null);
  if (!decoded || decoded.width !== frame.width || decoded.height !== frame.height || decoded.channels !== frame.channels)
    throw new InputError(DAMAGED);
  return orient(fromBytes(frame.width, frame.height, decoded.samples), readOrientation(exif, xmp));
}

/** Return an upper bound on the number of scans: in entropy-coded data, 0xFF is followed by 0 or a restart marker. */
export function countScans(bytes) {
  let scans = 0;
  for (let i = bytes.indexOf(0xff); i >= 0; i = bytes.indexOf(0xff, i + 1)) if (bytes[i + 1] === 0xda) scans += 1;
  return scans;
}

/** Read the frame header and the metadata before the first scan. */
function readSegments(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const exif = [];
  let [frame, xmp] = [null, null];
  for (let offset = 2; offset + 4 <= bytes.length; ) {
    const marker = bytes[offset + 1];
    if (bytes[offset] !== 0xff || marker === 0xff || marker === 0) {
      offset += 1; // a fill byte, or data between segments, which Pillow skips
      continue;
    }
    if (marker >= 0xd0 && marker <= 0xd9) {
      offset += 2;
      continue;
    }
    const end = offset + 2 + view.getUint16(offset + 2);
    if (marker === 0xda || end > bytes.length) break;
    const segment = bytes.subarray(offset + 4, end);
    if (marker === 0xe1) {
      const text = new TextDecoder("latin1").decode(segment);
      if (text.startsWith(EXIF)) exif.push(segment.subarray(EXIF.length));
      else if (text.startsWith(XMP)) xmp = text.slice(XMP.length);
    } else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && segment.length >= 6) {
      if (frame) throw new InputError(DAMAGED);
      frame = {
        marker,
        bits: segment[0],
        height: view.getUint16(offset + 5),
        width: view.getUint16(offset + 7),
        channels: segment[5],
      };
    }
    offset = end;
  }
  return { frame, exif: exif.length ? joined(exif) : null, xmp };
}

function joined(parts) {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
