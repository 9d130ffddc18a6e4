/* Files that the user saves: the picture of one image with its map, and the results of all images. */

import { csvText, jsonText } from "./prediction_files.js";
import { findingName, text } from "./texts.js";

const MIN_SIDE = 512;
const MAX_SIDE = 4096;

/** Save content under a name. */
export function save(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Save the results of all images as predict.py writes them. */
export function saveJson(model, queue) {
  const results = queue.done.map((image) => image.result);
  const errors = queue.failed.map((image) => ({ name: image.name, message: image.error }));
  save("predictions.json", new Blob([jsonText(model.header, results, errors)], { type: "application/json" }));
}

export function saveCsv(model, queue) {
  const results = queue.done.map((image) => image.result);
  save("predictions.csv", new Blob([csvText(model.header, results)], { type: "text/csv" }));
}

/** Save the picture that `drawPicture` returns, as `<image>_<finding>.png`. */
export async function savePicture(canvas, name, finding) {
  const stem = name.replace(/\.[^.]*$/, "") || name;
  const safe = `${stem}${finding ? `_${finding}` : ""}`.replace(/[^\p{L}\p{N} .()+_-]/gu, "_").slice(0, 120);
  save(`${safe}.png`, await new Promise((resolve) => canvas.toBlob(resolve, "image/png")));
}

/** Draw the whole image of the viewer with its map, a title and the disclaimer into a new canvas.
 *
 * @param title line above the image.
 * @param lines lines below the image.
 */
export function drawPicture(viewer, title, lines) {
  const { width, height } = viewer.pixels;
  const longer = Math.max(width, height);
  const scale = Math.min(MAX_SIDE, Math.max(MIN_SIDE, longer)) / longer;
  const [pictureWidth, pictureHeight] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const size = Math.max(14, Math.round(pictureWidth / 60));
  const lineHeight = Math.round(1.5 * size);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const font = `${size}px system-ui, "Noto Sans CJK SC", sans-serif`;
  context.font = font;
  const below = lines.filter(Boolean).flatMap((line) => wrapped(context, line, pictureWidth - size));
  const above = wrapped(context, title, pictureWidth - size);
  canvas.width = pictureWidth;
  canvas.height = pictureHeight + (above.length + below.length) * lineHeight + 2 * size;
  context.fillStyle = "#101010";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const top = above.length * lineHeight + size;
  context.translate(0, top);
  viewer.drawInto(context, pictureWidth, pictureHeight);
  context.translate(0, -top);
  Object.assign(context, { font, fillStyle: "#ebebeb", textBaseline: "middle" });
  const write = (line, index, start) => context.fillText(line, size / 2, start + size / 2 + (index + 0.5) * lineHeight);
  above.forEach((line, index) => write(line, index, 0));
  below.forEach((line, index) => write(line, index, top + pictureHeight));
  return canvas;
}

/** Break a text into lines that fit; control characters become U+FFFD. */
function wrapped(context, line, width) {
  const lines = [""];
  for (const character of line.replace(/\p{C}/gu, "\ufffd").slice(0, 2000)) {
    const longer = lines.at(-1) + character;
    if (context.measureText(longer).width <= width || !lines.at(-1)) lines[lines.length - 1] = longer;
    else lines.push(character.trimStart());
  }
  return lines;
}

/** The title of a picture: finding, number and mark, as Prediction.caption has it. */
export function caption(finding, meaningful) {
  return `${findingName(finding.name)} ${finding.value.toFixed(3)}${meaningful ? "" : ` (${text("meaningless")})`}`;
}
