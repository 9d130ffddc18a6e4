/* Read the orientation of an image from its EXIF or XMP metadata, as Pillow's `ImageOps.exif_transpose` does. */

import { InputError } from "./errors.js";

const ORIENTATION = 0x0112;
const INTEGERS = { 3: "getUint16", 4: "getUint32", 8: "getInt16", 9: "getInt32" };

/** Return the orientation of an image, 1 to 8.
 *
 * @param {Uint8Array|null} exif EXIF data, a small TIFF file
 * @param {string|null} xmp XMP data, which count if the EXIF data have no orientation
 */
export function readOrientation(exif, xmp) {
  const found = exif?.length ? readExif(exif) : null;
  const orientation = found ?? Number(xmp?.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1] ?? 1);
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

function readExif(data) {
  const start = String.fromCharCode(...data.subarray(0, 4));
  const damaged = new InputError("its EXIF data, which may turn the image, are damaged; save the image without them");
  if (start !== "II*\0" && start !== "MM\0*") throw damaged;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = start[0] === "I";
  try {
    const directory = view.getUint32(4, little);
    for (let i = 0, entry = directory + 2; i < view.getUint16(directory, little); i++, entry += 12) {
      if (view.getUint16(entry, little) !== ORIENTATION) continue;
      const read = INTEGERS[view.getUint16(entry + 2, little)];
      if (!read || view.getUint32(entry + 4, little) !== 1) throw damaged;
      return view[read](entry + 8, little);
    }
  } catch {
    throw damaged;
  }
  return null;
}
