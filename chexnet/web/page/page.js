/* The page: connects the parts, and starts the engine that `<meta name="engine">` names, "local" or "server".
 *
 * local_engine.js and server_engine.js each export, by default, createEngine(onProgress, {weights}). It resolves to
 * {model, predict(file, onProgress)} or rejects with an Error of one sentence. `weights` is the value of `?weights=` in
 * the address, or null. Progress is {stage, fraction}; stages are the keys `stage_` of texts.js, and the fraction is 0..1
 * or null.
 *
 * model: name, notice, engine, chosen (how the thresholds were chosen), crops (1, 10 or "dense"), max_bytes, cam_max
 *   (logit at full opacity), and header: the entries of predict.py's JSON file that are common to all images.
 * predict resolves to {width, height, meaningful, warnings, probabilities, findings, gray, samples, maps}:
 *   warnings: English sentences, those of predict.py.
 *   probabilities: finding -> number.
 *   findings: [{name, probability, calibrated?, present?, threshold?, sensitivity?, specificity?}] in the order of
 *     Prediction.ranked.
 *   gray: ImageBitmap, or a Blob or an address of the gray image as the network sees it, width x height.
 *   samples: {values: Uint8Array or Uint16Array, low, high} that a window applies to, or null for those of `gray`; low
 *     is black and high is white in `gray`.
 *   maps: async (finding) => {rows, columns, opacity}: Uint8Array of cells that cover the whole image, or null.
 */

import { at } from "./dom.js";
import { saveCsv, saveJson } from "./downloads.js";
import { ImageView } from "./image_view.js";
import { Queue } from "./queue.js";
import { listenForFiles, offerExamples } from "./sources.js";
import { Strip } from "./strip.js";
import { fillTexts, findingName, language, setLanguage, text } from "./texts.js";
import { summaryLine } from "./findings.js";

const address = new URL(location.href);
const engineKind = document.querySelector("meta[name=engine]").content;

let model = null;
let current = null;
let loading = { stage: "download", fraction: null };
let failure = "";

const view = new ImageView(travel);
const queue = new Queue(imageChanged);
const strip = new Strip(at("tiles"), (id) => choose(queue.images.find((image) => image.id === id)));

/** Show an image, or the welcome if there is none. */
function choose(image) {
  current = image ?? null;
  at("welcome").hidden = queue.images.length > 0;
  at("work").hidden = queue.images.length === 0;
  strip.show(queue.images, current);
  view.show(current);
  showQueue();
}

function travel(step) {
  const place = queue.images.indexOf(current) + step;
  if (queue.images[place]) choose(queue.images[place]);
}

function add(files) {
  at("failure").hidden = !failure;
  const images = queue.add(files);
  if (images.length) choose(current ?? images[0]);
}

function imageChanged(image) {
  strip.update(image, image === current);
  if (image === current) view.update(image);
  if (image.state === "running" && image.progress) return;
  showQueue();
  if (image.state === "done" || image.state === "failed") announce(image);
}

function announce(image) {
  if (image.state === "failed") {
    at("status").textContent = text("failedImage", image.name, image.error);
    return;
  }
  const top = image.result.findings[0];
  const shown = `${findingName(top.name)} ${top.probability.toFixed(3)}`;
  at("status").textContent = text("result", image.name, summaryLine(image.result) || text("done"), shown);
}

function showQueue() {
  const { images, done, failed } = queue;
  const parts = [text("queue", done.length + failed.length, images.length)];
  if (failed.length) parts.push(text("queueFailed", failed.length));
  at("queue").textContent = parts.join(" · ");
  for (const id of ["save-json", "save-csv"]) at(id).disabled = done.length === 0;
}

function removeCurrent() {
  const place = queue.images.indexOf(current);
  queue.remove(current);
  choose(queue.images[place] ?? queue.images[place - 1]);
  if (current) strip.focus();
  else at("choose").focus();
}

function showLoading() {
  const waiting = !model && !failure;
  at("loading").hidden = !waiting;
  const bar = at("loading-bar");
  if (Number.isFinite(loading.fraction)) bar.value = loading.fraction;
  else bar.removeAttribute("value");
  at("loading-text").textContent = text(`stage_${loading.stage}`) ?? text("stage_");
  view.setLoading(waiting ? loading : null);
}

function showFailure(message) {
  at("failure").textContent = message;
  at("failure").hidden = !message;
}

function showModel() {
  showWeights();
  if (!model) return;
  at("notice").textContent = model.notice;
  const crops = text("crops")[model.crops] ?? String(model.crops);
  at("model").replaceChildren(...[model.name, model.engine, crops].filter(Boolean).flatMap((part, index) => {
    const node = document.createElement("bdi");
    node.textContent = part;
    return index ? [" · ", node] : [node];
  }));
}

/** Link to the page with the other weights; images are not kept. */
function showWeights() {
  const other = address.searchParams.get("weights") === "float32" ? "float16" : "float32";
  const link = new URL(address);
  link.searchParams.set("weights", other);
  at("weights").href = link;
  at("weights").textContent = text(other === "float32" ? "useFloat32" : "useFloat16");
  at("weights").hidden = engineKind !== "local" || !model;
}

/** Show everything in the chosen language. */
function showTexts() {
  const root = document.documentElement;
  root.lang = language() === "zh" ? "zh-CN" : "en";
  fillTexts(document);
  const toggle = at("language");
  toggle.textContent = text("languageSwitch");
  toggle.lang = language() === "zh" ? "en" : "zh-CN";
  toggle.setAttribute("aria-label", text("languageLabel"));
  at("theme").setAttribute("aria-label", text("themeLabel"));
  at("theme").title = text("themeLabel");
  at("privacy").textContent = text(engineKind === "server" ? "privacyServer" : "privacyLocal");
  showLoading();
  showModel();
  showQueue();
  strip.show(queue.images, current);
  view.showTexts();
  offerExamples(add, showFailure);
}

/** Keep a choice in the address, so that reloading and sharing keep it; nothing is stored. */
function keep(name, value) {
  address.searchParams.set(name, value);
  history.replaceState(null, "", address);
  showWeights();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}

function connectControls() {
  at("language").addEventListener("click", () => {
    setLanguage(language() === "zh" ? "en" : "zh");
    keep("lang", language());
    showTexts();
  });
  const asked = address.searchParams.get("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(["light", "dark"].includes(asked) ? asked : system.matches ? "dark" : "light");
  system.addEventListener("change", () => {
    if (!address.searchParams.has("theme")) setTheme(system.matches ? "dark" : "light");
  });
  at("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    setTheme(theme);
    keep("theme", theme);
  });
  at("remove").addEventListener("click", removeCurrent);
  at("clear").addEventListener("click", () => {
    queue.images.slice().forEach((image) => queue.remove(image));
    choose(null);
    at("choose").focus();
  });
  at("tiles").addEventListener("keydown", (event) => {
    if (event.key === "Delete" && current) removeCurrent();
  });
  at("save-json").addEventListener("click", () => saveJson(model, queue));
  at("save-csv").addEventListener("click", () => saveCsv(model, queue));
  listenForFiles(add, () => showFailure(text("noFiles")));
}

async function start() {
  at("closed").hidden = true;
  at("page").hidden = false;
  connectControls();
  showTexts();
  try {
    const { default: createEngine } = await import(`./${engineKind}_engine.js`);
    const options = { weights: address.searchParams.get("weights") };
    const engine = await createEngine((progress) => {
      loading = progress;
      showLoading();
    }, options);
    model = engine.model;
    view.setModel(model);
    queue.start(engine);
  } catch (error) {
    failure = error.message || String(error);
    showFailure(failure);
    queue.fail(failure);
  }
  showLoading();
  showModel();
  if (model) at("status").textContent = text("ready");
}

start();
