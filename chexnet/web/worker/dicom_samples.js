/* Extract the samples and padding of a DICOM image from its stored bits, as `chexnet.data.images.dicom_samples`. */

import { InputError } from "./errors.js";

const refuse = (message) => {
  throw new InputError(`a DICOM file ${message}`);
};

/** Extract the samples, and a mask of the padding (null if the header declares none).
 *
 * @param raw stored integers [H * W], whose values change
 * @returns {{samples, padding}} samples of the type of `raw`, in which padding is replaced with another sample
 */
export function extractSamples(raw, header, shape) {
  const interval = paddingInterval(header, shape);
  if (!interval) return { samples: extractBits(raw, header, shape), padding: null };
  const padding = new Uint8Array(raw.length);
  replacePadding(raw, padding, ...interval);
  const samples = extractBits(raw, header, shape);
  replacePadding(samples, padding, ...interval);
  return { samples, padding };
}

/** Return the sample in each stored integer, with its sign. The other bits are ignored, unless they fit better. */
function extractBits(raw, header, { columns, allocated, stored, high, signed }) {
  const below = high + 1 - stored;
  const mask = (2 ** allocated - 1) & ~(overlayBits(header) & ~((2 ** stored - 1) << below));
  const bits = new raw.constructor(raw.length); // a typed array keeps the lower bits, with its sign
  const samples = new raw.constructor(raw.length);
  let [equal, low] = [true, false];
  for (let i = 0; i < raw.length; i++) {
    const value = raw[i] & mask;
    const shifted = value << (31 - high);
    bits[i] = value;
    samples[i] = signed ? shifted >> (32 - stored) : shifted >>> (32 - stored);
    equal &&= samples[i] === bits[i];
    low ||= (value & (2 ** below - 1)) !== 0;
  }
  if (equal) return samples;
  if (low) refuse(`with ${stored} bits per sample and high bit ${high}, but data in the bits below`);
  const all = bits.map((value) => value >> below);
  if (totalVariation(all, columns) < totalVariation(samples, columns)) {
    const [lowest, highest] = extremes(all);
    refuse(
      `whose samples are ${lowest} to ${highest}, expected ${signed ? "signed" : "unsigned"} samples of ${stored} bits`,
    );
  }
  return samples;
}

/** Return a mask of the bits that store overlays: those of overlays without data of their own. */
function overlayBits(header) {
  let bits = 0;
  for (let group = 0x6000; group < 0x6020; group += 2) {
    const [position] = header.values(`x${group.toString(16)}0102`, "US");
    if (position !== undefined && !header.has(`x${group.toString(16)}3000`) && position < 16) bits |= 1 << position;
  }
  return bits;
}

/** Return the sum of absolute differences between neighboring pixels. */
function totalVariation(samples, columns) {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) {
    if (i % columns) sum += Math.abs(samples[i] - samples[i - 1]);
    if (i >= columns) sum += Math.abs(samples[i] - samples[i - columns]);
  }
  return sum;
}

/** Return the lowest and highest padding value, null if the header has none. */
function paddingInterval(header, { allocated, stored, signed }) {
  const vr = signed ? "SS" : "US";
  const value = header.number("x00280120", "PixelPaddingValue", { vr });
  const limit = header.number("x00280121", "PixelPaddingRangeLimit", { vr });
  if (value === null) return null;
  const ends = [value, limit ?? value].map((end) => paddingSample(Math.trunc(end), allocated, stored, signed));
  return [Math.min(...ends), Math.max(...ends)];
}

/** Return the sample of a padding value, which may be written with the wrong sign. */
function paddingSample(value, allocated, stored, signed) {
  const [lowest, highest] = signed ? [-(2 ** (allocated - 1)), 2 ** (allocated - 1) - 1] : [0, 2 ** allocated - 1];
  const alternatives = [value - 2 ** 16, value + 2 ** 16];
  let first = value;
  if (signed && 2 ** (stored - 1) <= value && value < 2 ** stored) {
    alternatives.unshift(value - 2 ** stored);
    if (allocated > stored) [first] = alternatives;
  }
  return [first, ...alternatives].find((number) => lowest <= number && number <= highest) ?? first;
}

/** Mark padding in `mask` and replace it with some other sample, in place. */
function replacePadding(samples, mask, low, high) {
  const isPadding = (sample) => sample >= low && sample <= high;
  const other = samples.find((sample) => !isPadding(sample));
  if (other === undefined) {
    const [lowest, highest] = extremes(samples);
    if (lowest !== highest) refuse(`whose pixels are all padding (${low} to ${high})`);
  }
  for (let i = 0; i < samples.length; i++)
    if (isPadding(samples[i])) {
      mask[i] = 1;
      if (other !== undefined) samples[i] = other;
    }
}

/** Return the lowest and the highest value. */
export function extremes(values) {
  let [lowest, highest] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return [lowest, highest];
}
