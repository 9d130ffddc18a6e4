/* Warn about images that are unsuitable for a network trained on frontal chest radiographs.
 *
 * The same sentences as `chexnet.inference.image_checks`, whose comments explain the limits.
 */

import { formatFixed } from "./format.js";
import { resizeBox, resizeNearest } from "./pillow_resize.js";
import { sampleWarnings } from "./rasters.js";

export const MEANINGLESS =
  "if so, its numbers are meaningless: the network was trained on upright frontal chest radiographs only";
const MAX_RATIO = 1.5;
const MAX_COLOR = 8;
const MIN_LEVELS = 64;
const MIN_CONTRAST = 15;
const MAX_BORDER = 0.08;
const MIN_SIMILARITY = 0.2;
const FRONTAL_VIEWS = ["PA", "AP"];
const RADIOGRAPHS = ["CR", "DX", "DR", "RG", "XR"];
const BORDER_GRID = 128;
const GRID = 64;
const EDGE = 4;

/** Return the warnings about an image, one sentence each.
 *
 * @param image see rasters.js
 * @param {number} crop side of the network's square input, pixels
 * @param {boolean} chest whether the network is one for chest radiographs
 */
export function checkImage(image, crop, chest = true) {
  const grid = resizeNearest(image.gray, image.width, image.height, BORDER_GRID);
  const borders = borderFractions(grid);
  const header = checkHeader(image);
  const warnings = [...header, ...sampleWarnings(image), ...checkFormat(image, crop)];
  let unlike = checkContrast(image.gray, grid);
  if (!unlike) {
    warnings.push(...checkBorders(borders));
    unlike = checkChest(image, borders);
  }
  if (unlike) warnings.push(unlike);
  if (chest && (header.length || unlike)) warnings.push(MEANINGLESS);
  return warnings;
}

/** Return false if the warnings of an image make the network's numbers meaningless. */
export const isMeaningful = (warnings) => !warnings.includes(MEANINGLESS);

/** Return the uniform border at the top, bottom, left and right of [128 * 128] pixels, as fractions. */
function borderFractions(grid) {
  const last = BORDER_GRID - 1;
  const uniform = (pixelOf) => {
    for (let line = 0; line < BORDER_GRID / 2 - 1; line++) {
      const values = Array.from({ length: BORDER_GRID }, (_, i) => grid[pixelOf(line, i)]);
      const sorted = values.toSorted((a, b) => a - b);
      const median = (sorted[BORDER_GRID / 2 - 1] + sorted[BORDER_GRID / 2]) / 2;
      const near = values.filter((value) => Math.abs(value - median) <= 3).length;
      if (near / BORDER_GRID < 0.9) return line / BORDER_GRID;
    }
    return (BORDER_GRID / 2 - 1) / BORDER_GRID;
  };
  return [
    uniform((line, i) => line * BORDER_GRID + i),
    uniform((line, i) => (last - line) * BORDER_GRID + i),
    uniform((line, i) => i * BORDER_GRID + line),
    uniform((line, i) => i * BORDER_GRID + last - line),
  ];
}

/** Return warnings about modality and view. */
function checkHeader({ modality, view }) {
  const warnings = [];
  if (modality && !RADIOGRAPHS.includes(modality)) warnings.push(`its modality is ${modality}, not a radiograph`);
  if (view && !FRONTAL_VIEWS.includes(view))
    warnings.push(`its view position is ${view}, not frontal (${FRONTAL_VIEWS.join(" or ")})`);
  return warnings;
}

/** Return warnings about size, shape and color. */
function checkFormat({ width, height, rgb }, crop) {
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  const warnings = [];
  if (shorter < crop) warnings.push(`only ${width} x ${height} pixels, expected at least ${crop} per side`);
  if (longer > MAX_RATIO * shorter)
    warnings.push(`one side is ${formatFixed(longer / shorter, 1)} times the other, expected at most ${MAX_RATIO} times`);
  if (rgb && meanColor(resizeBox(rgb, width, height, 3, GRID)) > MAX_COLOR)
    warnings.push("it has colors: probably a photograph or a screenshot, not an original radiograph");
  return warnings;
}

/** Return the mean range of red, green and blue in a pixel. */
function meanColor(rgb) {
  let sum = 0;
  for (let i = 0; i < rgb.length; i += 3) {
    const color = rgb.subarray(i, i + 3);
    sum += Math.max(...color) - Math.min(...color);
  }
  return (3 * sum) / rgb.length;
}

/** Return a warning about an image of nearly uniform brightness, or an empty string. */
function checkContrast(gray, grid) {
  const levels = new Uint32Array(256);
  for (let i = 0; i < gray.length; i++) levels[gray[i]] += 1;
  const used = levels.filter((pixels) => pixels > 1e-5 * gray.length).length;
  const average = mean(grid);
  const contrast = Math.sqrt(mean(Float64Array.from(grid, (pixel) => (pixel - average) ** 2)));
  if (used >= MIN_LEVELS && contrast >= MIN_CONTRAST) return "";
  return `almost uniform: ${used} gray levels, standard deviation ${formatFixed(contrast, 0)} of 255`;
}

/** Return a warning about wide borders. */
function checkBorders(borders) {
  const wide = ["top", "bottom", "left", "right"]
    .map((side, i) => [side, borders[i]])
    .filter(([, fraction]) => fraction > MAX_BORDER)
    .map(([side, fraction]) => `${formatFixed(100 * fraction, 0)} % at the ${side}`);
  return wide.length ? [`a uniform border or bar, ${wide.join(", ")}: crop it, because the network sees it too`] : [];
}

/** Return a warning if the image inside its borders is unlike a frontal chest radiograph, or an empty string. */
function checkChest({ gray, width, height }, [top, bottom, left, right]) {
  const box = [left * width, top * height, (1 - right) * width, (1 - bottom) * height];
  const pixels = resizeBox(gray, width, height, 1, GRID, box);
  const similarity = chestSimilarity(pixels);
  if (similarity >= MIN_SIMILARITY) return "";
  const [quarter, inner, rim] = [GRID / 4, [], []];
  pixels.forEach((pixel, i) => {
    const [x, y] = [i % GRID, Math.floor(i / GRID)];
    if (Math.min(x, y) >= quarter && Math.max(x, y) < GRID - quarter) inner.push(pixel);
    if (y < EDGE || x < EDGE || x >= GRID - EDGE) rim.push(pixel);
  });
  if (similarity <= -MIN_SIMILARITY && mean(rim) > mean(inner))
    return "probably inverted: background and lungs are bright, but air should be dark";
  return "does not look like an upright frontal chest radiograph: no two dark lungs in the expected positions";
}

/** Measure how much an image [64 * 64] resembles two dark lungs with brighter tissue between and below, -1 to 1. */
export function chestSimilarity(pixels) {
  const values = MASK.map((i) => pixels[i]);
  const [plain, detrended] = [[ONES], PLANES].map((basis) =>
    correlation(without(values, basis), without(TEMPLATE, basis)),
  );
  if (plain * detrended <= 0) return 0;
  return Math.abs(plain) <= Math.abs(detrended) ? plain : detrended;
}

function correlation(a, b) {
  const norm = Math.sqrt(dot(a, a) * dot(b, b));
  return norm > 1e-6 ? dot(a, b) / norm : 0;
}

/** Subtract the components of values along orthonormal vectors. */
function without(values, basis) {
  return basis.reduce((rest, vector) => {
    const component = dot(rest, vector);
    return rest.map((value, i) => value - component * vector[i]);
  }, values);
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const unit = (vector) => vector.map((value) => value / Math.sqrt(dot(vector, vector)));

const position = (i) => [((i % GRID) + 0.5) / GRID, (Math.floor(i / GRID) + 0.5) / GRID];
const inEllipse = (x, y, middle) => ((x - middle) / 0.1) ** 2 + ((y - 0.42) / 0.2) ** 2 <= 1;
const isLung = ([x, y]) => inEllipse(x, y, 0.29) || inEllipse(x, y, 0.71);
const isTissue = ([x, y]) =>
  (Math.abs(x - 0.5) < 0.06 && y > 0.2 && y < 0.9) || (Math.abs(x - 0.5) < 0.3 && y > 0.8);

const MASK = Array.from({ length: GRID * GRID }, (_, i) => i).filter((i) => isLung(position(i)) || isTissue(position(i)));
const TEMPLATE = MASK.map((i) => (isLung(position(i)) ? -1 : 1));
const ONES = unit(MASK.map(() => 1));
const PLANES = [0, 1].reduce(
  (basis, axis) => [...basis, unit(without(MASK.map((i) => position(i)[axis]), basis))],
  [ONES],
);
