/* Decoded images: 8-bit gray with the colors and samples that it was made of.
 *
 * An image is {width, height, gray, rgb, samples, low, high, white, highest, warning, modality, view}:
 *   gray      Uint8Array [H * W], 0 black to 255 white, the pixels that `chexnet.data.images.read` returns
 *   rgb       Uint8Array [H * W * 3], the colors; null for gray files
 *   samples   Uint16Array [H * W], what the file stores, brighter if higher; null if it stores 8 bits
 *   low, high samples that are shown as black and as white
 *   white     sample that means white in the file, null for DICOM; highest is the highest one in the image
 *   warning   about a file that is read in spite of a defect; or ""
 *   modality, view  of the DICOM header; or ""
 */

import { InputError, count } from "./errors.js";

export const MAX_SAMPLE_BITS = 16;
const MIN_SAMPLE_BITS = 8;

/** Make an image of 8-bit samples: gray [H * W] or colors [H * W * 3]. */
export function fromBytes(width, height, pixels, warning = "") {
  const rgb = pixels.length === width * height ? null : pixels;
  const gray = rgb ? toGray(rgb) : pixels;
  return { ...EMPTY, width, height, gray, rgb, white: 255, highest: maximum(gray), warning };
}

/** Make an image of gray samples that reach up to `white`, as `sample_range.to_eight_bits`. */
export function fromSamples(width, height, samples, white, sampleBits, warning = "") {
  const highest = maximum(samples);
  const used = Math.min(white, 2 ** sampleBits - 1);
  if (highest > used)
    throw new InputError(
      `its highest sample is ${count(highest)}, expected at most ${count(used)}, because the network was trained ` +
        `with samples of ${sampleBits} bits`,
    );
  const table = Uint8Array.from({ length: used + 1 }, (_, sample) => roundHalfEven((255 * sample) / used));
  const gray = applyTable(samples, table);
  return { ...EMPTY, width, height, gray, samples, low: 0, high: used, white: used, highest, warning };
}

const EMPTY = { rgb: null, samples: null, low: 0, high: 255, white: null, highest: null, warning: "", modality: "", view: "" };

/** Look every sample up in a table of bytes. */
export function applyTable(samples, table) {
  const gray = new Uint8Array(samples.length);
  for (let i = 0; i < samples.length; i++) gray[i] = table[samples[i]];
  return gray;
}

/** Convert colors [H * W * 3] to luma (ITU-R 601), as Pillow does. */
function toGray(rgb) {
  const gray = new Uint8Array(rgb.length / 3);
  for (let i = 0, j = 0; i < gray.length; i++, j += 3)
    gray[i] = (19595 * rgb[j] + 38470 * rgb[j + 1] + 7471 * rgb[j + 2] + 0x8000) >>> 16;
  return gray;
}

/** Turn an image upright by its EXIF orientation, 1 to 8. */
export function orient(image, orientation) {
  const { width, height } = image;
  const swapped = orientation >= 5;
  const [columns, rows] = swapped ? [height, width] : [width, height];
  const right = width - 1;
  const bottom = height - 1;
  const source = {
    2: (x, y) => y * width + right - x,
    3: (x, y) => (bottom - y) * width + right - x,
    4: (x, y) => (bottom - y) * width + x,
    5: (x, y) => x * width + y,
    6: (x, y) => (bottom - x) * width + y,
    7: (x, y) => (bottom - x) * width + right - y,
    8: (x, y) => x * width + right - y,
  }[orientation];
  if (!source) return image;
  const turn = (pixels, channels) => {
    if (!pixels) return pixels;
    const turned = new pixels.constructor(pixels.length);
    for (let y = 0, i = 0; y < rows; y++)
      for (let x = 0; x < columns; x++)
        for (let channel = 0, j = channels * source(x, y); channel < channels; channel++) turned[i++] = pixels[j++];
    return turned;
  };
  return { ...image, width: columns, height: rows, gray: turn(image.gray, 1), rgb: turn(image.rgb, 3), samples: turn(image.samples, 1) };
}

/** Return the warnings about samples, as `sample_range.sample_warnings`. */
export function sampleWarnings({ white, highest, warning }) {
  const warnings = warning ? [warning] : [];
  if (white !== null && 2 * highest < white)
    warnings.push(`its highest sample is ${count(highest)} of ${count(white)}${advice(highest, white)}`);
  return warnings;
}

function advice(highest, white) {
  if (white <= 2 ** MIN_SAMPLE_BITS - 1) return ": much darker than usual for a radiograph";
  let bits = Math.max(highest.toString(2).length, MIN_SAMPLE_BITS);
  if (bits < MAX_SAMPLE_BITS - 1) bits += bits % 2; // detectors have 10, 12 or 14
  return `: if this is ${bits}-bit data, use --sample_bits ${bits}`;
}

/** Round to the nearest integer, halves to the even one, as `numpy.rint`. */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

export function maximum(samples) {
  let highest = samples[0];
  for (const sample of samples) if (sample > highest) highest = sample;
  return highest;
}
