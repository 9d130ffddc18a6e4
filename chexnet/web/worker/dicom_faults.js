/* Find the reason to refuse a DICOM file before its pixels are decoded, as `chexnet.data.images.dicom_faults`. */

import { CONVERT, InputError, checkSize, count, toOneLine } from "./errors.js";
import { formatGeneral } from "./format.js";
import { parseNumber } from "./dicom_header.js";

const MONOCHROME = ["MONOCHROME1", "MONOCHROME2"];
const MAX_PIXEL_RATIO = 1.02;
const MAX_LUT_BYTES = 2 ** 20;
const EXPECTED = "expected uncompressed, JPEG, JPEG-LS, JPEG 2000 or RLE";
const UID = "1.2.840.10008.1.2";

/** Transfer syntaxes that are read: how their pixels are compressed. */
const COMPRESSIONS = {
  [UID]: "none",
  [`${UID}.1`]: "none",
  [`${UID}.2`]: "none",
  [`${UID}.5`]: "rle",
  [`${UID}.4.50`]: "jpeg",
  [`${UID}.4.51`]: "jpeg",
  [`${UID}.4.57`]: "losslessJpeg",
  [`${UID}.4.70`]: "losslessJpeg",
  [`${UID}.4.80`]: "jpegLs",
  [`${UID}.4.81`]: "jpegLs",
  [`${UID}.4.90`]: "jpeg2000",
  [`${UID}.4.91`]: "jpeg2000",
};

const SPACINGS = {
  x00280034: "PixelAspectRatio",
  x00280030: "PixelSpacing",
  x00181164: "ImagerPixelSpacing",
  x00182010: "NominalScannedPixelSpacing",
};

const refuse = (message) => {
  throw new InputError(`a DICOM file ${message}`);
};

/** Return the compression of a transfer syntax; see COMPRESSIONS. */
export function compressionOf(syntax) {
  if (syntax === `${UID}.1.99`) throw new InputError(`a deflated DICOM file, ${EXPECTED}`);
  if (!(syntax in COMPRESSIONS)) refuse(`encoded as ${toOneLine(syntax)}, ${EXPECTED}; ${CONVERT}`);
  return COMPRESSIONS[syntax];
}

/** Check a header and return what describes its pixels.
 *
 * @returns {{rows, columns, allocated, stored, high, signed, inverted}}
 */
export function checkHeader(header) {
  if (header.has("x04000500") && !header.has("x00280010"))
    throw new InputError("an encrypted DICOM file; export it without encryption");
  const [rows, columns] = [header.integer("x00280010"), header.integer("x00280011")];
  if (!rows || !columns) refuse("without an image: no Rows or Columns");
  if (!Number.isInteger(rows) || !Number.isInteger(columns))
    refuse(`of ${toOneLine(columns)} x ${toOneLine(rows)} pixels, expected two integers`);
  checkSize(columns, rows);
  const frames = header.integer("x00280008", "IS");
  if (![null, 0, 1].includes(frames)) refuse(`of ${toOneLine(frames)} frames, expected a single image`);
  for (const [tag, name] of [["x00283000", "ModalityLUTSequence"], ["x00283010", "VOILUTSequence"]]) {
    const { length = 0, hadUndefinedLength } = header.elements[tag] ?? {};
    if (length > MAX_LUT_BYTES && !hadUndefinedLength)
      refuse(`with a ${name} of ${count(length)} bytes, expected at most ${count(MAX_LUT_BYTES)}`);
  }
  const inverted = checkPhotometric(header);
  const depth = checkDepth(header);
  checkShape(header);
  return { rows, columns, inverted, ...depth };
}

/** Return whether low values are bright. */
function checkPhotometric(header) {
  const expected = `expected ${MONOCHROME.join(" or ")}`;
  const photometric = header.text("x00280004");
  if (!photometric) refuse(`without Photometric Interpretation, ${expected}`);
  if (!MONOCHROME.includes(photometric)) refuse(`of ${toOneLine(photometric)} pixels, ${expected}`);
  const samples = header.integer("x00280002");
  if (samples !== 1)
    refuse(`of ${photometric} pixels with ${toOneLine(samples ?? "no number of")} samples per pixel, expected 1`);
  const shape = header.text("x20500020");
  if (["INVERSE", "IDENTITY"].includes(shape) && shape !== (photometric === "MONOCHROME1" ? "INVERSE" : "IDENTITY"))
    refuse(`of ${photometric} pixels with the contradicting Presentation LUT Shape ${shape}`);
  return photometric === "MONOCHROME1";
}

function checkDepth(header) {
  const [allocated, stored] = [header.integer("x00280100"), header.integer("x00280101")];
  if (allocated !== 8 && allocated !== 16)
    refuse(`with ${toOneLine(allocated)} bits allocated per sample, expected 8 or 16`);
  if (!Number.isInteger(stored) || stored < 1 || stored > allocated)
    refuse(`with ${toOneLine(stored)} bits stored of ${allocated} allocated`);
  const high = header.integer("x00280102") ?? stored - 1;
  if (!Number.isInteger(high) || high < stored - 1 || high >= allocated)
    refuse(`with high bit ${toOneLine(high)}, for ${stored} bits stored of ${allocated} allocated`);
  const representation = header.integer("x00280103");
  if (representation !== 0 && representation !== 1)
    refuse(`with Pixel Representation ${toOneLine(representation)}, expected 0 (unsigned) or 1 (signed)`);
  return { allocated, stored, high, signed: representation === 1 };
}

/** Check that pixels are square, if the header gives their sides. */
function checkShape(header) {
  for (const [tag, name] of Object.entries(SPACINGS)) {
    const sides = header.values(tag, "DS").map((side) => (typeof side === "number" ? side : parseNumber(side)));
    if (sides.length !== 2 || !(Math.min(...sides) > 0)) continue;
    if (!(Math.max(...sides) <= MAX_PIXEL_RATIO * Math.min(...sides)))
      refuse(`with ${name} ${formatGeneral(sides[0])} by ${formatGeneral(sides[1])}, expected square pixels`);
  }
}
