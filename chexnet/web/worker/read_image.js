/* Read an image file in the browser or in Node: the same pixels as `chexnet.data.images.open_image`, or a refusal.
 *
 * PNG     all color types, depths and interlacing of the specification, EXIF and XMP orientation
 * JPEG    baseline and progressive, gray or color, 8 bits, EXIF and XMP orientation
 * DICOM   one frame of MONOCHROME1 or MONOCHROME2, with or without preamble and meta information; uncompressed, RLE,
 *         JPEG (8 bits; lossless up to 16), JPEG-LS, JPEG 2000; modality LUT, VOI LUT, windows, padding
 *
 * The other files that Python reads are refused with advice: TIFF, PNM, BMP, GIF, WebP, JPEG 2000 outside DICOM, lossy
 * JPEG of 12 bits and HTJ2K in DICOM, arithmetic or lossless JPEG outside DICOM. So is what Python refuses. A damaged or
 * truncated file is refused, although Python shows some of them.
 */

import { isDicom, decodeDicom } from "./dicom.js";
import { CONVERT, InputError, MAX_BYTES, count } from "./errors.js";
import { decodeJpeg, isJpeg } from "./jpeg.js";
import { decodePng, isPng } from "./png.js";
import { MAX_SAMPLE_BITS } from "./rasters.js";

const OTHERS = {
  "TIFF": /^(II[*+]\0|MM\0[*+])/,
  "JPEG 2000": /^(\xff\x4f\xff\x51|\0\0\0\x0cjP {2})/,
  "PBM, PGM or PPM": /^P[1-6]\s/,
  "BMP": /^BM/,
  "GIF": /^GIF8/,
  "WebP": /^RIFF....WEBP/s,
};

/** Read the content of a file; see rasters.js for the result.
 *
 * @param {Uint8Array} bytes content
 * @param {string} name name of the file
 * @param decoders see `makeDecoders` in codecs.js
 * @param {number} sampleBits bits per sample that the network was trained with
 * @throws InputError
 */
export async function readImage(bytes, name, decoders, sampleBits = MAX_SAMPLE_BITS) {
  try {
    if (isDicom(bytes, name)) return await decodeDicom(bytes, decoders);
    if (bytes.length > MAX_BYTES)
      throw new InputError(`the file is larger than ${count(MAX_BYTES)} bytes, the maximum`);
    if (isPng(bytes)) return await decodePng(bytes, sampleBits);
    if (isJpeg(bytes)) return await decodeJpeg(bytes, decoders);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`cannot be decoded as an image (${error.message ?? error}); get the file again, or ${CONVERT}`);
  }
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  const found = Object.keys(OTHERS).find((format) => OTHERS[format].test(start));
  if (found) throw new InputError(`a file of ${found}, which the page does not read: ${CONVERT}`);
  throw new InputError(`${bytes.length ? "not an image" : "an empty file"}: expected a radiograph as PNG, JPEG or DICOM`);
}
