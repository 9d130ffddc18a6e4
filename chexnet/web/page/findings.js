/* The list of findings: one radio button per finding, with a bar, its threshold and its decision. */

import { calibrate } from "./calibration.js";
import { element } from "./dom.js";
import { findingName, text } from "./texts.js";

/** Return the findings in the order in which they are shown, with the number shown for each.
 *
 * The order is that of Prediction.ranked: present findings first, each group by decreasing probability.
 *
 * @param calibrated show calibrated probabilities where the result has them.
 */
export function shownFindings(result, model, calibrated) {
  return result.findings.map((finding) => {
    const useCalibrated = calibrated && Number.isFinite(finding.calibrated);
    const entry = { ...finding, value: useCalibrated ? finding.calibrated : finding.probability };
    if (!result.meaningful || finding.present === undefined) return { ...entry, present: undefined, tick: null };
    return { ...entry, tick: useCalibrated ? calibratedThreshold(finding, model) : finding.threshold };
  });
}

/** The threshold on the calibrated scale. */
function calibratedThreshold({ name, threshold }, model) {
  const scaling = model.header?.thresholds?.calibration?.[name];
  return scaling ? calibrate(threshold, scaling) : null;
}

/** Return the line under the heading: how many findings are present, or that the numbers are meaningless. */
export function summaryLine(result) {
  if (!result.meaningful) return text("noChest");
  const decided = result.findings.filter((finding) => finding.present !== undefined);
  return decided.length ? text("summary", decided.filter((finding) => finding.present).length, decided.length) : "";
}

/** Fill the list. `select(name)` is called when a finding is chosen. */
export function fillFindings(list, findings, result, selected, select) {
  const group = element("fieldset", [], "finding-group");
  group.append(element("legend", text("findings"), "visually-hidden"));
  group.append(...findings.map((finding) => row(finding, result.meaningful, finding.name === selected, select)));
  list.replaceChildren(group);
}

function row(finding, meaningful, selected, select) {
  const input = element("input");
  Object.assign(input, { type: "radio", name: "finding", value: finding.name, checked: selected });
  input.addEventListener("change", () => select(finding.name));
  const decision = meaningful ? decisionWord(finding) : text("meaningless");
  const kind = meaningful ? (finding.present ? "present" : "") : "meaningless";
  const label = element("label", [
    input,
    element("span", element("bdi", findingName(finding.name)), "name"),
    element("span", decision, "decision"),
    element("span", finding.value.toFixed(3), "value number"),
    track(finding),
  ], `finding ${kind}`);
  if (meaningful && finding.present !== undefined) label.append(element("span", numbers(finding), "detail number"));
  return label;
}

function track({ value, tick }) {
  const bar = element("span", [], "fill");
  bar.style.width = `${100 * value}%`;
  const node = element("span", bar, "track");
  if (tick !== null) {
    const mark = element("span", [], "tick");
    mark.style.left = `${100 * tick}%`;
    node.append(mark);
  }
  return node;
}

const decisionWord = ({ present }) => (present === undefined ? "" : text(present ? "present" : "absent"));

const numbers = ({ threshold, sensitivity, specificity }) =>
  `${text("threshold")} ${threshold.toFixed(3)} · ${text("sensitivity")} ${sensitivity.toFixed(2)} · ` +
  `${text("specificity")} ${specificity.toFixed(2)}`;
