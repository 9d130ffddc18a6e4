/* The error of an input that cannot be used, and the limits on its size. */

/** An error whose message is one sentence for the user: what was found, what was expected, what to do. */
export class InputError extends Error {}

/** What to do about a file that Python reads and the page does not. */
export const CONVERT = "convert it to PNG, or use predict.py";

export const MAX_BYTES = 2 ** 29;
export const MAX_PIXELS = 50_000_000;
const MIN_SIDE = 16;
const MAX_RATIO = 10;

/** Refuse an image by its size in pixels, as `chexnet.data.images.size_fault`. */
export function checkSize(width, height) {
  const size = `${width} x ${height} pixels, expected`;
  if (width * height > MAX_PIXELS) throw new InputError(`${size} at most ${count(MAX_PIXELS)} in total`);
  if (Math.min(width, height) < MIN_SIDE) throw new InputError(`${size} at least ${MIN_SIDE} x ${MIN_SIDE}`);
  if (Math.max(width, height) > MAX_RATIO * Math.min(width, height))
    throw new InputError(`${size} one side at most ${MAX_RATIO} times the other`);
}

/** Refuse a file that is too large for its pixels, as `image_source.bytes_fault`. */
export function checkBytes(size, pixels) {
  const limit = 2 ** 25 + 32 * pixels;
  if (size > limit)
    throw new InputError(`${count(size)} bytes for ${count(pixels)} pixels, expected at most ${count(limit)}`);
}

/** Format an integer with a comma between thousands. */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Format a value from a file as one printable line, as `dicom_samples.to_one_line`. */
export function toOneLine(value, maxLength = 100) {
  const text = String(value)
    .split(/\s+/u)
    .filter(Boolean)
    .join(" ")
    .replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, escape);
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 3)}...`;
}

function escape(character) {
  const code = character.codePointAt(0);
  if (code < 256) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 65536 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}
