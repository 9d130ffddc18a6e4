/* Format numbers as Python does. */

/** Format with a fixed number of digits; a tie goes to the even digit. */
export function formatFixed(value, digits) {
  const text = value.toFixed(digits);
  const tie = 2 * Math.abs(value) * 10 ** digits; // toFixed rounds a tie up
  if (!Number.isInteger(tie) || tie % 2 === 0 || tie > 2 ** 50) return text;
  const steps = (tie - 1) / 2;
  const even = (steps % 2 === 0 ? steps : steps + 1) / 10 ** digits;
  return (Math.sign(value) * even).toFixed(digits);
}

/** Format with six significant digits, as the format code `g`. */
export function formatGeneral(value) {
  if (value === 0 || !Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  const [mantissa, exponent] = value.toExponential(5).split("e");
  const power = Number(exponent);
  const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power >= -4 && power < 6) return trim(value.toFixed(5 - power));
  return `${trim(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}
