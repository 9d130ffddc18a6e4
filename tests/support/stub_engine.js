/* An engine for tests of the page: results follow from the name of the file. */

const CLASSES = ["Edema", "Mass", "Pleural_Thickening", "<b>Left</b> & lung"];
const PROBABILITIES = [0.02, 0.985, 0.3, 0.00009];
const THRESHOLDS = [0.5, 0.6, 0.25, 0.7];
const CALIBRATION = { Edema: { slope: 1, offset: -1 }, Mass: { slope: 0.8, offset: -2 } };

const asked = new URLSearchParams(location.search);

export default async function createEngine(onProgress, { weights }) {
  onProgress({ stage: "download", fraction: 0.5 });
  if (asked.has("endless")) await new Promise(() => {});
  if (asked.has("broken")) throw new Error("The network cannot be loaded: build the page again.");
  const points = Object.fromEntries(
    CLASSES.map((name, place) => [name, { threshold: THRESHOLDS[place], sensitivity: 0.9, specificity: 0.8 }]),
  );
  const thresholds = asked.has("plain") ? null : { file: null, chosen: "by hand", points };
  if (asked.has("calibrated")) thresholds.calibration = CALIBRATION;
  const notice = asked.get("notice") ?? "Only a <test>.";
  const header = { chexnet: "1", ckpt: "stub", notice, classes: CLASSES, thresholds };
  const model = { name: "stub", notice, engine: weights ?? "no network", chosen: thresholds?.chosen, crops: 1 };
  return { model: { ...model, max_bytes: 1e6, cam_max: 5, header }, predict: (...args) => predict(header, ...args) };
}

async function predict(header, file, onProgress) {
  onProgress({ stage: "network", fraction: 0.3 });
  if (file.name.startsWith("endless")) await new Promise(() => {});
  if (!/\.png$/.test(file.name)) throw new Error(`${file.name}: not an image: expected a radiograph`);
  const gray = await createImageBitmap(file);
  const meaningful = !file.name.startsWith("noise");
  const warnings = meaningful ? [] : ["probably inverted: background and lungs are bright, but air should be dark"];
  const findings = CLASSES.map((name, place) => finding(header, name, PROBABILITIES[place], meaningful));
  findings.sort((a, b) => Number(b.present ?? 0) - Number(a.present ?? 0) || b.probability - a.probability);
  const { width, height } = gray;
  const values = Uint16Array.from({ length: width * height }, (_, index) => 1000 + (index % width));
  const samples = file.name.startsWith("deep") ? { width, height, values, low: 1000, high: 1000 + width - 1 } : null;
  const probabilities = Object.fromEntries(CLASSES.map((name, place) => [name, PROBABILITIES[place]]));
  return { width, height, meaningful, warnings, probabilities, findings, gray, samples, maps };
}

function finding({ thresholds }, name, probability, meaningful) {
  const entry = { name, probability };
  const scaling = thresholds?.calibration?.[name];
  if (scaling) entry.calibrated = 0.125;
  if (!thresholds || !meaningful) return entry;
  return { ...entry, ...thresholds.points[name], present: probability >= thresholds.points[name].threshold };
}

async function maps(name) {
  const opacity = Uint8Array.from({ length: 16 }, (_, cell) => (cell === CLASSES.indexOf(name) ? 255 : 0));
  return { rows: 4, columns: 4, opacity };
}
