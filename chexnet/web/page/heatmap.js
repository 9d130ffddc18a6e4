/* Draw a class map as chexnet.inference.overlays does: one color of varying opacity, and contours at each quarter. */

const COLOR = [230, 159, 0];
const LINE = [86, 180, 233];
const OPACITY = 0.5;
const STEP = 0.25;
const SIDE = 512;

/** Return a canvas of the map, to be laid over the image; its longer side is 512 pixels.
 *
 * @param map {rows, columns, opacity}: opacity 0..255 of cells that cover the whole image.
 * @param shape {width, height} of the image.
 */
export function drawHeatmap(map, shape) {
  const scale = SIDE / Math.max(shape.width, shape.height);
  const width = Math.max(2, Math.round(shape.width * scale));
  const height = Math.max(2, Math.round(shape.height * scale));
  const values = upsample(map, width, height);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const index = y * width + x;
      const line = contour(values, width, height, x, y);
      const fill = OPACITY * values[index];
      const alpha = line + fill * (1 - line);
      for (let channel = 0; channel < 3; channel++) {
        image.data[4 * index + channel] =
          alpha && (LINE[channel] * line + COLOR[channel] * fill * (1 - line)) / alpha;
      }
      image.data[4 * index + 3] = Math.round(255 * alpha);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Return the map at a larger size, Float32Array in 0..1: bicubic, so that contours of coarse cells are smooth. */
export function upsample({ rows, columns, opacity }, width, height) {
  const across = kernel(columns, width);
  const down = kernel(rows, height);
  const lines = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (const [column, weight] of across[x]) sum += weight * opacity[row * columns + column];
      lines[row * width + x] = sum / 255;
    }
  }
  const values = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (const [row, weight] of down[y]) {
      for (let x = 0; x < width; x++) values[y * width + x] += weight * lines[row * width + x];
    }
  }
  return values.map((value) => Math.min(1, Math.max(0, value)));
}

/** For each of `count` positions, the cells and weights of a Catmull-Rom spline through the centers of `cells` cells. */
function kernel(cells, count) {
  return Array.from({ length: count }, (_, position) => {
    const place = ((position + 0.5) * cells) / count - 0.5;
    const first = Math.floor(place);
    const t = place - first;
    const weights = [
      -0.5 * t + t * t - 0.5 * t ** 3,
      1 - 2.5 * t * t + 1.5 * t ** 3,
      0.5 * t + 2 * t * t - 1.5 * t ** 3,
      -0.5 * t * t + 0.5 * t ** 3,
    ];
    return weights.map((weight, index) => [Math.min(cells - 1, Math.max(0, first - 1 + index)), weight]);
  });
}

/** Return the opacity of the contours at a pixel: lines of two pixels, from the difference in value and the slope. */
function contour(values, width, height, x, y) {
  const at = (column, row) => values[row * width + column];
  const [left, right] = [Math.max(0, x - 1), Math.min(width - 1, x + 1)];
  const [top, bottom] = [Math.max(0, y - 1), Math.min(height - 1, y + 1)];
  const value = at(x, y);
  const level = STEP * Math.min(3, Math.max(1, Math.round(value / STEP)));
  const slope = Math.hypot((at(right, y) - at(left, y)) / (right - left), (at(x, bottom) - at(x, top)) / (bottom - top));
  return Math.min(1, Math.max(0, 1.5 - Math.abs(value - level) / Math.max(slope, 1e-6)));
}
