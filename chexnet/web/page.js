"use strict";

const CHINESE = {
  drop: "把正位胸片拖到这里、粘贴,或选择文件",
  kinds: "PNG、JPEG、TIFF 或 DICOM",
  findings: "征象",
  hint: "点选一项可查看位置。概率未经校准:请与其他图像的概率比较。",
  plain: "不带热图的图像",
  footer: "不是医疗器械,这里的内容不是诊断。图像只发送到提供此页面的计算机,服务停止后即被遗忘。",
  looking: "正在分析……",
  unreachable: "无法连接服务器:它还在运行吗?",
  unreadable: "浏览器无法读取",
  tooLarge: (size, most) => `${size} 字节,最多 ${most} 字节`,
  onlyFirst: (count) => `选择了 ${count} 个文件,只显示第一个。`,
  present: "判为存在", absent: "判为不存在", from: "阈值", sensitivity: "敏感度", specificity: "特异度",
  heatmap: "热图", image: "图像", crops: "像素", chosen: "阈值的选取", meaningless: "无意义",
  summary: (present, all) => (present ? `${all} 项征象中有 ${present} 项达到阈值` : "没有征象达到阈值"),
  noChest: "如果不是正位胸片,这些数字没有意义。",
};
const ENGLISH = {
  looking: "Looking …",
  unreachable: "The server cannot be reached: is it still running?",
  unreadable: "the browser cannot read it",
  tooLarge: (size, most) => `${size} bytes, expected at most ${most}`,
  onlyFirst: (count) => `Of ${count} files only the first is shown.`,
  present: "present", absent: "absent", from: "from", sensitivity: "sensitivity", specificity: "specificity",
  heatmap: "Heat map", image: "Image", crops: "pixels", chosen: "Thresholds", meaningless: "meaningless",
  summary: (present, all) =>
    present ? `${present} of ${all} findings reach their threshold` : "No finding reaches its threshold",
  noChest: "If this is no frontal chest radiograph, these numbers mean nothing.",
};
const chinese = navigator.language.startsWith("zh");
const WORDS = chinese ? CHINESE : ENGLISH;
const at = (id) => document.getElementById(id);

let asked = 0;
let shown = null;
let mostBytes = Infinity;

function element(tag, text, style) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (style) made.className = style;
  return made;
}

function showPicture(finding) {
  const query = finding ? `&finding=${finding.place}` : "";
  at("picture").src = `picture?image=${shown.image}${query}`;
  at("picture").alt = finding ? `${WORDS.heatmap}: ${finding.name}` : WORDS.image;
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
    button.append(element("span", WORDS.meaningless, "decision"));
  } else if ("present" in finding) {
    const tick = element("span", "", "tick");
    tick.style.left = `${100 * finding.threshold}%`;
    track.append(tick);
    const numbers = `(${WORDS.from} ${finding.threshold.toFixed(3)}, ${WORDS.sensitivity} ` +
      `${finding.sensitivity.toFixed(2)}, ${WORDS.specificity} ${finding.specificity.toFixed(2)})`;
    const word = finding.present ? WORDS.present : WORDS.absent;
    button.append(element("span", `${word} ${numbers}`, finding.present ? "decision present" : "decision"));
  }
  button.addEventListener("click", () => showPicture(finding));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function summary(found) {
  if (!found.meaningful) return WORDS.noChest;
  if (!found.findings.some((finding) => "present" in finding)) return "";
  return WORDS.summary(found.findings.filter((finding) => finding.present).length, found.findings.length);
}

function showResult(found, name) {
  shown = found;
  at("warnings").replaceChildren(...found.warnings.map((text) => element("li", text)));
  at("list").replaceChildren(...found.findings.map((finding) => row(finding, found.meaningful)));
  at("summary").textContent = summary(found);
  at("caption").replaceChildren(element("bdi", name), ` · ${found.width} × ${found.height} ${WORDS.crops}`);
  at("result").hidden = false;
  showPicture(found.findings[0]);
}

async function answer(file) {
  if (file.size > mostBytes) return { error: WORDS.tooLarge(file.size, mostBytes) };
  let content;
  try {
    content = await file.arrayBuffer();
  } catch {
    return { error: WORDS.unreadable };  // a folder, or it has gone
  }
  try {
    return await (await fetch("predict", { method: "POST", body: content })).json();
  } catch {
    return { error: WORDS.unreachable };
  }
}

async function look(file, count = 1) {
  const turn = ++asked;
  at("error").textContent = "";
  at("status").replaceChildren(`${WORDS.looking} `, element("bdi", file.name));
  at("result").hidden = true;
  const found = await answer(file);
  if (turn !== asked) return;
  at("status").textContent = count > 1 ? WORDS.onlyFirst(count) : "";
  if (found.error) at("error").replaceChildren(element("bdi", file.name), ": ", element("bdi", found.error));
  else showResult(found, file.name);
}

function lookAtFirst(files) {
  if (files.length) look(files[0], files.length);
}

async function start() {
  if (chinese) {
    document.documentElement.lang = "zh-CN";
    for (const one of document.querySelectorAll("[data-text]")) one.textContent = CHINESE[one.dataset.text];
  }
  at("plain").dataset.place = "plain";
  at("plain").addEventListener("click", () => showPicture(null));
  at("file").addEventListener("change", () => lookAtFirst(at("file").files));
  document.addEventListener("paste", (event) => lookAtFirst(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
  document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    lookAtFirst(event.dataTransfer.files);
  });
  const about = await (await fetch("about")).json();
  mostBytes = about.max_bytes;
  at("network").replaceChildren(element("bdi", about.ckpt), ` · ${about.engine}`);
  at("notice").textContent = about.notice;
  at("notice").hidden = !about.notice;
  if (about.chosen) at("chosen").replaceChildren(`${WORDS.chosen}: `, element("bdi", about.chosen));
}

start();
