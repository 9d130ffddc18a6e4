"use strict";

const CHINESE = {
  drop: "把正位胸片拖到这里、粘贴,或选择文件",
  kinds: "PNG、JPEG、TIFF 或 DICOM",
  findings: "征象",
  hint: "点选一项可查看位置。概率未经校准:请与其他图像的概率比较。",
  plain: "不带热图的图像",
  footer: "不是医疗器械,这里的内容不是诊断。图像只发送到提供此页面的计算机,服务停止后即被遗忘。",
  analyzing: "正在分析……",
  unreachable: "无法连接服务器:它还在运行吗?",
  unreadable: "浏览器无法读取",
  tooLarge: (size, limit) => `${size} 字节,最多 ${limit} 字节`,
  onlyFirst: (count) => `选择了 ${count} 个文件,只显示第一个。`,
  present: "判为存在", absent: "判为不存在", threshold: "阈值", sensitivity: "敏感度", specificity: "特异度",
  heatmap: "热图", image: "图像", crops: "像素", chosen: "阈值的选取", meaningless: "无意义",
  summary: (present, all) => (present ? `${all} 项征象中有 ${present} 项达到阈值` : "没有征象达到阈值"),
  noChest: "如果不是正位胸片,这些数字没有意义。",
};
const ENGLISH = {
  analyzing: "Analyzing …",
  unreachable: "The server is not responding: is it still running?",
  unreadable: "the browser cannot read it",
  tooLarge: (size, limit) => `${size} bytes, the maximum is ${limit}`,
  onlyFirst: (count) => `${count} files selected; only the first is shown.`,
  present: "present", absent: "absent", threshold: "threshold", sensitivity: "sensitivity", specificity: "specificity",
  heatmap: "Heat map", image: "Image", crops: "pixels", chosen: "Thresholds", meaningless: "meaningless",
  summary: (present, all) =>
    present ? `${present} of ${all} findings are at or above their threshold` : "No finding is at or above its threshold",
  noChest: "If this is not a frontal chest radiograph, these numbers are meaningless.",
};
const chinese = navigator.language.startsWith("zh");
const TEXTS = chinese ? CHINESE : ENGLISH;
const at = (id) => document.getElementById(id);

let requests = 0;
let current = null;
let maxBytes = Infinity;

function element(tag, text, style) {
  const node = document.createElement(tag);
  node.textContent = text;
  if (style) node.className = style;
  return node;
}

function showPicture(finding) {
  const query = finding ? `&finding=${finding.place}` : "";
  at("picture").src = `picture?image=${current.image}${query}`;
  at("picture").alt = finding ? `${TEXTS.heatmap}: ${finding.name}` : TEXTS.image;
  for (const button of document.querySelectorAll("[aria-pressed]")) {
    button.setAttribute("aria-pressed", String(button.dataset.place === String(finding ? finding.place : "plain")));
  }
}

function row(finding, meaningful) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.place = finding.place;
  button.setAttribute("aria-pressed", "false");
  button.append(element("span", finding.name.replaceAll("_", " ")), element("span", finding.probability.toFixed(3), "value"));
  const track = element("span", "", "track");
  const bar = element("span", "", meaningful ? "bar" : "bar meaningless");
  bar.style.width = `${100 * finding.probability}%`;
  track.append(bar);
  button.append(track);
  if (!meaningful) {
    button.append(element("span", TEXTS.meaningless, "decision"));
  } else if ("present" in finding) {
    const tick = element("span", "", "tick");
    tick.style.left = `${100 * finding.threshold}%`;
    track.append(tick);
    const numbers = `(${TEXTS.threshold} ${finding.threshold.toFixed(3)}, ${TEXTS.sensitivity} ` +
      `${finding.sensitivity.toFixed(2)}, ${TEXTS.specificity} ${finding.specificity.toFixed(2)})`;
    const decision = finding.present ? TEXTS.present : TEXTS.absent;
    button.append(element("span", `${decision} ${numbers}`, finding.present ? "decision present" : "decision"));
  }
  button.addEventListener("click", () => showPicture(finding));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function summary(result) {
  if (!result.meaningful) return TEXTS.noChest;
  if (!result.findings.some((finding) => "present" in finding)) return "";
  return TEXTS.summary(result.findings.filter((finding) => finding.present).length, result.findings.length);
}

function showResult(result, name) {
  current = result;
  at("warnings").replaceChildren(...result.warnings.map((text) => element("li", text)));
  at("list").replaceChildren(...result.findings.map((finding) => row(finding, result.meaningful)));
  at("summary").textContent = summary(result);
  at("caption").replaceChildren(element("bdi", name), ` · ${result.width} × ${result.height} ${TEXTS.crops}`);
  at("result").hidden = false;
  showPicture(result.findings[0]);
}

async function predict(file) {
  if (file.size > maxBytes) return { error: TEXTS.tooLarge(file.size, maxBytes) };
  let content;
  try {
    content = await file.arrayBuffer();
  } catch {
    return { error: TEXTS.unreadable };  // a folder, or a deleted file
  }
  try {
    return await (await fetch("predict", { method: "POST", body: content })).json();
  } catch {
    return { error: TEXTS.unreachable };
  }
}

async function show(file, count = 1) {
  const request = ++requests;
  at("error").textContent = "";
  at("status").replaceChildren(`${TEXTS.analyzing} `, element("bdi", file.name));
  at("result").hidden = true;
  const result = await predict(file);
  if (request !== requests) return;
  at("status").textContent = count > 1 ? TEXTS.onlyFirst(count) : "";
  if (result.error) at("error").replaceChildren(element("bdi", file.name), ": ", element("bdi", result.error));
  else showResult(result, file.name);
}

function showFirst(files) {
  if (files.length) show(files[0], files.length);
}

async function start() {
  if (chinese) {
    document.documentElement.lang = "zh-CN";
    for (const node of document.querySelectorAll("[data-text]")) node.textContent = CHINESE[node.dataset.text];
  }
  at("plain").dataset.place = "plain";
  at("plain").addEventListener("click", () => showPicture(null));
  at("file").addEventListener("change", () => showFirst(at("file").files));
  document.addEventListener("paste", (event) => showFirst(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
  document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    showFirst(event.dataTransfer.files);
  });
  const info = await (await fetch("about")).json();
  maxBytes = info.max_bytes;
  at("network").replaceChildren(element("bdi", info.ckpt), ` · ${info.engine}`);
  at("notice").textContent = info.notice;
  at("notice").hidden = !info.notice;
  if (info.chosen) at("chosen").replaceChildren(`${TEXTS.chosen}: `, element("bdi", info.chosen));
}

start();
