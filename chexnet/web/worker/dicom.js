/* Read DICOM radiographs as `chexnet.data.images.dicom` does: one frame of gray, 8 or 16 bits allocated. */

import { InputError, count, toOneLine } from "./errors.js";
import { checkHeader, compressionOf } from "./dicom_faults.js";
import { toGrayLevels } from "./dicom_gray.js";
import { hasPreamble, isBare, readHeader } from "./dicom_header.js";
import { readPixels } from "./dicom_pixels.js";
import { fromBytes } from "./rasters.js";

const MAX_BYTES = 2 ** 30;

/** Return whether a file is DICOM by its content, with or without a preamble, or by its suffix. */
export const isDicom = (bytes, name) => hasPreamble(bytes) || /\.(dcm|dicom)$/i.test(name) || isBare(bytes);

/** Decode a DICOM file; see rasters.js for the result. */
export async function decodeDicom(bytes, decoders) {
  if (!hasPreamble(bytes) && !isBare(bytes))
    throw new InputError("named as DICOM, but not a DICOM file (no DICM at byte 128); export it again");
  if (bytes.length > MAX_BYTES)
    throw new InputError(`a DICOM file of ${count(bytes.length)} bytes, expected at most ${count(MAX_BYTES)}`);
  const header = readHeader(bytes, compressionOf);
  const compression = compressionOf(header.syntax);
  const shape = checkHeader(header);
  const raw = await readPixels(header, shape, compression, decoders);
  const { gray, samples, low, high } = toGrayLevels(raw, header, shape);
  const image = fromBytes(shape.columns, shape.rows, gray);
  const deep = shape.allocated > 8 ? { samples, low, high } : {};
  const [modality, view] = ["x00080060", "x00185101"].map((tag) => toOneLine(header.text(tag)));
  return { ...image, ...deep, white: null, highest: null, modality, view };
}
