/* JSON and CSV of the results, in the formats of predict.py (chexnet.inference.prediction_files). */

import { calibrate } from "./calibration.js";

/** Return the number with the fewest digits that is the same in float32, as NumPy prints a float32. */
export function float32Digits(value) {
  const single = Math.fround(value);
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return short;
  }
  return Number(single.toPrecision(9));
}

/** Return a number as Python prints a float. */
export function pythonFloat(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) return scientific(value);
  const shown = String(value);
  return /[.e]/.test(shown) ? shown : `${shown}.0`;
}

/** Return a probability as NumPy prints a float32; its value decides on the notation, not its digits. */
function numpyFloat(value) {
  const single = Math.fround(value);
  return single !== 0 && single < 1e-4 ? scientific(float32Digits(value)) : pythonFloat(float32Digits(value));
}

/** Return a number with an exponent of at least two digits. */
function scientific(value) {
  const [digits, exponent] = value.toExponential().split("e");
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** Return a string as Python's json.dumps writes it: ASCII only. */
const jsonString = (value) =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

const jsonList = (values) => `[${values.map(jsonString).join(", ")}]`;
const jsonObject = (entries) => `{${entries.map(([key, value]) => `${jsonString(key)}: ${value}`).join(", ")}}`;

/** Return a value as json.dumps(value, indent=2) writes it. */
function jsonIndented(value, indent = "") {
  if (value === null || typeof value !== "object") {
    return typeof value === "string" ? jsonString(value) : typeof value === "number" ? jsonNumber(value) : String(value);
  }
  const inner = `${indent}  `;
  const list = Array.isArray(value);
  const parts = list
    ? value.map((entry) => inner + jsonIndented(entry, inner))
    : Object.entries(value).map(([key, entry]) => `${inner}${jsonString(key)}: ${jsonIndented(entry, inner)}`);
  const [open, close] = list ? "[]" : "{}";
  return parts.length ? `${open}\n${parts.join(",\n")}\n${indent}${close}` : open + close;
}

const jsonNumber = (value) => (Number.isInteger(value) ? String(value) : pythonFloat(value));

/** Return [finding, text of its probability] of all classes. */
const probabilities = (result, header) =>
  header.classes.map((name) => [name, pythonFloat(float32Digits(result.probabilities[name]))]);

/** Return [finding, text of its calibrated probability] of the findings that the network has a calibration for. */
function calibrated(result, header) {
  const scalings = Object.entries(header.thresholds?.calibration ?? {});
  return scalings.map(([name, scaling]) => {
    const value = calibrate(Math.fround(result.probabilities[name]), scaling);
    return [name, pythonFloat(float32Digits(value))];
  });
}

/** Return [finding, whether it it is present], as OperatingPoint.decides does with float32 probabilities. */
function decisions(result, header) {
  const points = Object.entries(header.thresholds.points);
  return points.map(([name, point]) => [name, Math.fround(result.probabilities[name]) >= point.threshold]);
}

/** Return the text of predict.py's --output_json; with a calibration, that of --calibrated.
 *
 * @param header entries that are common to all images, see chexnet.inference.file_prediction.
 * @param results results of the images that could be read.
 * @param errors [{name, message}] of the others.
 */
export function jsonText(header, results, errors) {
  const head = jsonIndented(header).slice(0, -2);
  const entries = results.map((result) => {
    const entry = [["image", jsonString(result.name)], ["probabilities", jsonObject(probabilities(result, header))]];
    const scaled = calibrated(result, header);
    if (scaled.length) entry.push(["calibrated", jsonObject(scaled)]);
    if (header.thresholds) entry.push(["decisions", jsonObject(decisions(result, header))]);
    return `\n    ${jsonObject([...entry, ["warnings", jsonList(result.warnings)]])}`;
  });
  const failures = jsonList(errors.map(({ name, message }) => `${name}: ${message}`));
  return `${head},\n  "images": [${entries.join(",")}\n  ],\n  "errors": ${failures}\n}\n`;
}

/** Return a field as Python's csv.writer writes it. */
const csvField = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

/** Write code units that are not valid text as Python's `backslashreplace` does. */
const escapeLone = (value) =>
  value.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, (unit) =>
    `\\u${unit.charCodeAt(0).toString(16)}`,
  );

/** Return the text of predict.py's --output_csv; the parameters are those of `jsonText`. */
export function csvText(header, results) {
  const decided = header.thresholds ? Object.keys(header.thresholds.points) : [];
  const columns = [
    ...header.classes.map((name) => `prob_${name}`),
    ...Object.keys(header.thresholds?.calibration ?? {}).map((name) => `calibrated_${name}`),
    ...decided.map((name) => `decision_${name}`),
  ];
  const rows = results.map((result) => [
    result.name,
    ...header.classes.map((name) => numpyFloat(result.probabilities[name])),
    ...calibrated(result, header).map(([, value]) => value),
    ...(header.thresholds ? decisions(result, header).map(([, present]) => String(Number(present))) : []),
    result.warnings.join("; "),
  ]);
  const lines = [["image", ...columns, "warnings"], ...rows].map((row) => row.map(csvField).join(","));
  return escapeLone(`${lines.join("\n")}\n`);
}
