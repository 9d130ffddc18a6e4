/* Pixels of an image: compressed while it is not shown, and drawn through a window. */

const compress = (bytes) =>
  new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).blob();

const decompress = (blob) => new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();

/** Return the gray levels, Uint8Array, of an ImageBitmap or of a Blob or address of a gray image. */
async function grayLevels(gray, width, height) {
  let source = gray;
  if (!(gray instanceof ImageBitmap)) {
    const blob = gray instanceof Blob ? gray : await (await fetch(gray)).blob();
    source = await createImageBitmap(blob, { colorSpaceConversion: "none", imageOrientation: "none" });
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  source.close();
  const colors = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  return Uint8Array.from(colors, (color) => color & 255);
}

/** Pack the pixels of a result into {width, height, gray, samples, low, high}; gray and samples are compressed. */
export async function packPixels({ width, height, gray, samples }) {
  const packed = { width, height, gray: await compress(await grayLevels(gray, width, height)), samples: null };
  if (!samples) return { ...packed, low: 0, high: 255 };
  return {
    ...packed,
    samples: await compress(samples.values),
    Samples: samples.values.constructor,
    low: samples.low,
    high: samples.high,
  };
}

/** Unpack what `packPixels` made into {width, height, gray, values, low, high}; `values` is what a window applies to. */
export async function unpackPixels(packed) {
  const gray = new Uint8Array(await decompress(packed.gray));
  const values = packed.samples ? new packed.Samples(await decompress(packed.samples)) : gray;
  const { width, height, low, high } = packed;
  return { width, height, gray, values, low, high };
}

/** Draw pixels into a canvas of their size; without a window, as the network sees them. */
export function drawPixels(canvas, pixels, window = null) {
  const { width, height } = pixels;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const target = new Uint32Array(image.data.buffer);
  const values = window ? pixels.values : pixels.gray;
  const table = window ? windowTable(window, values.BYTES_PER_ELEMENT === 1 ? 256 : 65536) : windowTable({ low: 0, high: 255 }, 256);
  for (let index = 0; index < target.length; index++) target[index] = table[values[index]];
  context.putImageData(image, 0, 0);
}

/** Return value -> opaque gray pixel: black at `low`, white at `high`. */
function windowTable({ low, high }, size) {
  return Uint32Array.from({ length: size }, (_, value) => {
    const share = Math.min(1, Math.max(0, (value - low) / Math.max(high - low, 1e-6)));
    return (0xff000000 | (Math.round(255 * share) * 0x010101)) >>> 0;
  });
}

/** Return a small picture of the pixels as a canvas, at most `side` pixels per side. */
export function thumbnail(pixels, side) {
  const full = document.createElement("canvas");
  drawPixels(full, pixels);
  const scale = Math.min(1, side / Math.max(pixels.width, pixels.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(pixels.width * scale));
  canvas.height = Math.max(1, Math.round(pixels.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(full, 0, 0, canvas.width, canvas.height);
  return canvas;
}
