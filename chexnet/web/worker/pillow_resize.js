/* Resize 8-bit images with the arithmetic of Pillow (src/libImaging/Resample.c and Geometry.c). */

const PRECISION = 22;

/** Resize pixels [height * width * channels] by area averaging (`Resampling.BOX`) to [size * size * channels].
 *
 * @param {number[]} box left, top, right and bottom of the part to resize, in pixels, may be fractions
 */
export function resizeBox(pixels, width, height, channels, size, box = [0, 0, width, height]) {
  const columns = coefficients(width, box[0], box[2], size);
  const rows = coefficients(height, box[1], box[3], size);
  const narrow = new Uint8Array(height * size * channels);
  for (let y = 0, i = 0; y < height; y++)
    for (const { first, weights } of columns)
      for (let channel = 0; channel < channels; channel++)
        narrow[i++] = weigh(pixels, (y * width + first) * channels + channel, channels, weights);
  const result = new Uint8Array(size * size * channels);
  const row = size * channels;
  rows.forEach(({ first, weights }, y) => {
    for (let x = 0; x < row; x++) result[y * row + x] = weigh(narrow, first * row + x, row, weights);
  });
  return result;
}

function weigh(pixels, start, step, weights) {
  let sum = 1 << (PRECISION - 1);
  for (let k = 0, i = start; k < weights.length; k++, i += step) sum += pixels[i] * weights[k];
  return Math.min(255, Math.max(0, sum >> PRECISION));
}

/** Return, for each pixel of a resized line, the first pixel of the original and the weights of those that follow. */
function coefficients(length, low, high, size) {
  const scale = (high - low) / size;
  const filterScale = Math.max(1, scale);
  return Array.from({ length: size }, (_, i) => {
    const center = low + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - 0.5 * filterScale + 0.5));
    const last = Math.min(length, Math.trunc(center + 0.5 * filterScale + 0.5));
    const inside = Array.from({ length: last - first }, (_, k) => {
      const x = (k + first - center + 0.5) * (1 / filterScale);
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    });
    const sum = inside.reduce((total, weight) => total + weight, 0);
    const weights = inside.map((weight) => Math.trunc(0.5 + (sum ? weight / sum : weight) * 2 ** PRECISION));
    return { first, weights };
  });
}

/** Resize gray pixels [height * width] by taking the nearest ones (`Resampling.NEAREST`) to [size * size]. */
export function resizeNearest(pixels, width, height, size) {
  const columns = nearest(width, size);
  const rows = nearest(height, size);
  const result = new Uint8Array(size * size);
  let i = 0;
  for (const y of rows) for (const x of columns) result[i++] = pixels[y * width + x];
  return result;
}

function nearest(length, size) {
  const step = length / size;
  let position = step * 0.5;
  return Array.from({ length: size }, () => {
    const index = Math.trunc(position);
    position += step; // Pillow adds, which rounds differently from a product
    return Math.min(index, length - 1);
  });
}
