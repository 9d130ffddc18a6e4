/* Convert the stored samples of a DICOM image to gray levels, as `chexnet.data.images.dicom_gray`
 * (DICOM PS3.3 C.7.6.3, C.11.1 and C.11.2). */

import { InputError, toOneLine } from "./errors.js";
import { formatGeneral } from "./format.js";
import { extractSamples, extremes } from "./dicom_samples.js";
import { roundHalfEven } from "./rasters.js";

const FUNCTIONS = ["LINEAR", "LINEAR_EXACT", "SIGMOID"];
const TINY = 2.2250738585072014e-308;

const refuse = (message) => {
  throw new InputError(`a DICOM file ${message}`);
};

/** Convert stored pixels to the gray levels with which a viewer first displays the image.
 *
 * @returns {{gray, samples, low, high}} see rasters.js; samples are counted from the darkest one
 */
export function toGrayLevels(raw, header, shape) {
  const { samples, padding } = extractSamples(raw, header, shape);
  const [low, high] = extremes(samples);
  const values = Float64Array.from({ length: high - low + 1 }, (_, i) => low + i);
  const present = new Uint8Array(values.length);
  for (let i = 0; i < samples.length; i++) present[samples[i] - low] = 1;
  const { brightness, source } = findBrightness(values, present, header, shape);
  const table = Uint8Array.from(brightness, (value) => roundHalfEven(255 * (shape.inverted ? 1 - value : value)));
  const [darkest, brightest] = extremes(table.filter((_, i) => present[i]));
  if (source && darkest === brightest && present.some((flag, i) => flag && i !== samples[0] - low))
    refuse(`whose pixels, ${low} to ${high}, all become one gray level by its ${source}`);
  return apply(samples, padding, low, table);
}

/** Look the gray levels up. The samples of the result become brighter as they increase. */
function apply(samples, padding, low, table) {
  const last = table.length - 1;
  const flipped = table[last] < table[0];
  const [gray, shown] = [new Uint8Array(samples.length), new Uint16Array(samples.length)];
  for (let i = 0; i < samples.length; i++) {
    if (padding?.[i]) continue; // black
    gray[i] = table[samples[i] - low];
    shown[i] = flipped ? last - (samples[i] - low) : samples[i] - low;
  }
  const levels = flipped ? table.toReversed() : table;
  const black = levels.findIndex((level) => level > levels[0]);
  return { gray, samples: shown, low: Math.max(0, black - 1), high: levels.indexOf(levels[last]) };
}

/** Return the brightness, 0 to 1, of each stored value, and the header element that determines it. */
function findBrightness(values, present, header, shape) {
  const rescaled = applyModality(values, present, header, shape);
  const lut = header.item("x00283010", "VOI LUT");
  if (lut) {
    const { entries, bits, outputs } = applyLut(rescaled, present, lut, shape, "VOI LUT");
    const white = lutWhite(entries, bits);
    return { brightness: outputs.map((output) => Math.min(1, output / white)), source: "VOI LUT" };
  }
  const window = readWindow(header, rescaled);
  if (window) {
    const { center, width } = window;
    const source = `window of center ${formatGeneral(center)} and width ${formatGeneral(width)}`;
    return { brightness: applyWindow(rescaled, window), source };
  }
  const [low, high] = extremes(rescaled.filter((_, i) => present[i]));
  const range = Math.max(high - low, TINY);
  return {
    brightness: rescaled.map((value) => Math.min(1, Math.max(0, (value - low) / range))),
    source: low === high ? "modality LUT or Rescale Slope" : "",
  };
}

/** Apply the modality LUT, or the rescale slope and intercept, to stored values. */
function applyModality(values, present, header, shape) {
  const lut = header.item("x00283000", "modality LUT");
  if (lut) return applyLut(values, present, lut, shape, "modality LUT").outputs;
  const slope = header.number("x00281053", "RescaleSlope");
  const intercept = header.number("x00281052", "RescaleIntercept");
  if ((slope === null || slope === 1) && (intercept === null || intercept === 0)) return values;
  if (slope === null || intercept === null)
    refuse(`with Rescale Slope ${slope} and Rescale Intercept ${intercept}, expected both or neither`);
  const rescaled = values.map((value) => value * slope + intercept);
  if (slope === 0 || !Number.isFinite(rescaled.at(-1) - rescaled[0]))
    refuse(`whose Rescale Slope is ${formatGeneral(slope)}`);
  return rescaled;
}

/** Return center, width and function of the first window, null if there is none. */
function readWindow(header, rescaled) {
  const center = header.number("x00281050", "WindowCenter", { multiple: true });
  const width = header.number("x00281051", "WindowWidth", { multiple: true });
  if (center === null || !width) return null;
  let name = (header.text("x00281056") || "LINEAR").trim().toUpperCase();
  if (!FUNCTIONS.includes(name))
    refuse(`whose VOI LUT Function is ${toOneLine(name)}, expected ${FUNCTIONS.join(", ")}`);
  const steps = rescaled.length - 1;
  const range = Math.abs(rescaled[steps] - rescaled[0]);
  if (name === "LINEAR" && 0 < range && range < width * steps && width * steps < steps) name = "LINEAR_EXACT";
  const least = name === "LINEAR" ? 1 : 0;
  if (width < least) refuse(`whose Window Width is ${formatGeneral(width)}, expected at least ${least}`);
  return { center, width, name };
}

/** Map rescaled values through a window to 0 (black) to 1 (white); PS3.3 C.11.2.1.2 and C.11.2.1.3. */
function applyWindow(rescaled, { center, width, name }) {
  const clip = (value) => Math.min(1, Math.max(0, value));
  if (name === "SIGMOID") return rescaled.map((value) => clip(1 / (1 + Math.exp((-4 * (value - center)) / width))));
  const [middle, extent] = name === "LINEAR" ? [center - 0.5, width - 1] : [center, width];
  return rescaled.map((value) => {
    if (value <= middle - extent / 2) return 0;
    if (value > middle + extent / 2) return 1;
    return clip((value - middle) / extent + 0.5);
  });
}

/** Look values up in a table. If all pixels are beyond its ends, its first value was written with the wrong sign. */
function applyLut(values, present, lut, shape, name) {
  const { entries, first, bits } = readLut(lut, shape, name);
  const [low, high] = extremes(values.filter((_, i) => present[i]).map(roundHalfEven));
  for (const start of [first, first - 2 ** 16, first + 2 ** 16])
    if (start <= high && low < start + entries.length) {
      const outputs = values.map(
        (value) => entries[Math.min(entries.length - 1, Math.max(0, roundHalfEven(value) - start))],
      );
      return { entries, bits, outputs };
    }
  return refuse(
    `whose ${name} begins at ${first}, but its pixels are ${formatGeneral(low)} to ${formatGeneral(high)}`,
  );
}

/** Return the entries, the first mapped value and the declared bits of a lookup table. */
function readLut(lut, { signed }, name) {
  const descriptor = lut.values("x00283002", signed ? "SS" : "US");
  const data = lut.data("x00283006");
  if (descriptor.length !== 3 || !descriptor.every(Number.isInteger) || !data)
    refuse(`whose ${name} cannot be read: its descriptor or its data are missing or damaged`);
  const [count, first, bits] = [((descriptor[0] % 2 ** 16) + 2 ** 16) % 2 ** 16 || 2 ** 16, descriptor[1], descriptor[2]];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const words = Array.from({ length: Math.ceil(data.length / 2) }, (_, i) =>
    2 * i + 1 < data.length ? view.getUint16(2 * i, lut.little) : data[data.length - 1],
  );
  const { vr } = lut.elements.x00283006;
  const numeric = vr === "US" || vr === "SS" || ((lut.implicit || !vr || vr === "UN") && descriptor[0] === 1);
  const bytes = () => words.flatMap((word) => [word & 255, word >> 8]); // a word may contain two 8-bit entries
  const entries = numeric || words.length >= count ? words : bytes();
  if (entries.length < count || entries.length > count + 1 || bits < 1 || bits > 16)
    refuse(
      `whose ${name} declares ${count} entries of ${bits} bits and has ${entries.length}, expected equal counts and 1 ` +
        "to 16 bits",
    );
  return { entries: entries.slice(0, count), first, bits };
}

/** Return the entry of a VOI LUT that means white: the maximum of its declared bits, or of the bits that it uses. */
function lutWhite(entries, bits) {
  const highest = extremes(entries)[1];
  const fills = (used, least) => least * 2 ** used <= highest && highest <= (17 / 16) * 2 ** used;
  if (fills(bits, 1 / 2)) return 2 ** bits - 1;
  const used = [8, 9, 10, 11, 12, 13, 14, 15, 16].find((candidate) => fills(candidate, 3 / 4));
  if (used === undefined || used === bits - 1)
    refuse(`whose VOI LUT declares entries of ${bits} bits, but its highest is ${highest}`);
  return 2 ** used - 1;
}
