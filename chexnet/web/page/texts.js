/* Texts of the page in English and Chinese. The language is the browser's, or that of `?lang=` in the address. */

const ENGLISH = {
  disclaimer: "Research use only. Not for diagnosis.",
  welcome: "Drop frontal chest radiographs here",
  kinds: "PNG, JPEG or DICOM, 8 to 16 bits; one image or several. You can also paste an image.",
  choose: "Choose files",
  examples: "Or try a synthetic radiograph",
  normal: "no finding",
  privacyLocal: "The network runs in this browser. No image leaves this computer, and nothing is stored.",
  privacyServer: "Images are sent only to the computer that serves this page. It does not store them.",
  languageSwitch: "中文",
  languageLabel: "切换为中文",
  themeLabel: "Switch between light and dark",
  viewer: "Image",
  drag: "Dragging changes",
  move: "Move",
  window: "Window",
  zoomOut: "Zoom out",
  zoomIn: "Zoom in",
  fit: "Fit",
  actual: "1:1, one image pixel per screen pixel",
  canvasKeys:
    "Arrow keys move the image, plus and minus zoom, 0 fits it. Shift with the arrow keys changes the window level and " +
    "width. Page up and page down show the previous and the next image.",
  imageOf: (name) => `Radiograph ${name}`,
  imageWithMap: (name, finding) => `Radiograph ${name} with the map of ${finding}`,
  adjust: "Map and window",
  opacity: "Map opacity",
  center: "Window level",
  width: "Window width",
  resetWindow: "Reset window",
  windowNote: "The window changes the display only, not the numbers. The right mouse button drags it.",
  mapUnit: "local logit",
  findings: "Findings",
  present: "present",
  absent: "absent",
  meaningless: "meaningless",
  threshold: "threshold",
  sensitivity: "sensitivity",
  specificity: "specificity",
  calibrated: "calibrated",
  showRaw: "network output",
  showCalibrated: "calibrated",
  scaleRaw: "Shown: network probabilities, not calibrated. Compare them with those of other images.",
  scaleCalibrated: "Shown: calibrated probabilities, fitted on the validation images. They hold for a similar population only.",
  scaleTick: "The tick on each bar is the decision threshold.",
  chosenBy: "Thresholds",
  summary: (present, all) =>
    present ? `${present} of ${all} findings at or above their threshold` : "No finding is at or above its threshold",
  noChest: "If this is not a frontal chest radiograph, these numbers are meaningless.",
  pixels: "pixels",
  downloads: "Downloads",
  saveOverlay: "Save picture",
  saveOverlayTitle: "The whole image with its map, as PNG",
  saveJson: "Save JSON",
  saveJsonTitle: "The results of all images, as predict.py writes them",
  saveCsv: "Save CSV",
  saveCsvTitle: "The results of all images, as predict.py writes them",
  images: "Images",
  add: "Add images",
  remove: "Remove",
  clear: "Remove all",
  release: "Release to add the images",
  waiting: "waiting",
  running: "computing",
  failed: "not readable",
  done: "done",
  warned: "with warnings",
  noFinding: "none present",
  presentCount: (count) => `${count} present`,
  queue: (done, all) => `${done} of ${all} done`,
  queueFailed: (failed) => `${failed} not readable`,
  stage_download: "Loading the network",
  stage_compile: "Preparing the network",
  stage_read: "Reading the image",
  stage_network: "Computing the findings",
  stage_upload: "Sending the image",
  stage_wait: "Waiting for the network",
  stage_: "Working",
  ready: "Ready",
  result: (name, summary, top) => `${name}: ${summary}. Most probable: ${top}.`,
  failedImage: (name, reason) => `${name}: ${reason}`,
  noFiles: "No file was dropped. Drop image files from a folder, not an image of a web page.",
  examplesFailed: "The example could not be loaded; the folder of this page is incomplete.",
  useFloat32: "Use float32 weights",
  useFloat16: "Use float16 weights",
  window_: "window",
  crops: { 1: "one crop", 10: "ten crops", dense: "whole image" },
};

const CHINESE = {
  disclaimer: "仅供研究使用，不得用于诊断。",
  welcome: "将正位胸片拖到此处",
  kinds: "PNG、JPEG 或 DICOM，8 至 16 位；可以一次添加多幅图像，也可以粘贴。",
  choose: "选择文件",
  examples: "或试用一幅合成胸片",
  normal: "无异常征象",
  privacyLocal: "网络在此浏览器中运行。图像不会离开本机，也不会保存任何内容。",
  privacyServer: "图像只发送到提供此页面的计算机，不会被保存。",
  languageSwitch: "English",
  languageLabel: "Switch to English",
  themeLabel: "切换浅色与深色",
  viewer: "图像",
  drag: "拖动的作用",
  move: "移动",
  window: "窗宽窗位",
  zoomOut: "缩小",
  zoomIn: "放大",
  fit: "适合窗口",
  actual: "1:1，图像像素与屏幕像素一一对应",
  canvasKeys: "方向键移动图像，加号和减号缩放，0 键恢复适合窗口。按住 Shift 并按方向键可调整窗位和窗宽。上翻页键和下翻页键显示上一幅和下一幅图像。",
  imageOf: (name) => `胸片 ${name}`,
  imageWithMap: (name, finding) => `胸片 ${name}，叠加“${finding}”的类激活图`,
  adjust: "热图与窗宽窗位",
  opacity: "热图不透明度",
  center: "窗位",
  width: "窗宽",
  resetWindow: "恢复窗宽窗位",
  windowNote: "窗宽窗位只改变显示，不改变数值。也可以按住鼠标右键拖动。",
  mapUnit: "局部 logit",
  findings: "征象",
  present: "存在",
  absent: "不存在",
  meaningless: "无意义",
  threshold: "阈值",
  sensitivity: "敏感度",
  specificity: "特异度",
  calibrated: "校准后",
  showRaw: "网络输出",
  showCalibrated: "校准概率",
  scaleRaw: "显示的是未经校准的网络概率，请与其他图像的概率比较。",
  scaleCalibrated: "显示的是在验证图像上校准的概率，只适用于相似的人群。",
  scaleTick: "条形上的竖线是判定阈值。",
  chosenBy: "阈值的选取",
  summary: (present, all) => (present ? `${all} 项征象中有 ${present} 项达到阈值` : "没有征象达到阈值"),
  noChest: "如果这不是正位胸片，这些数字没有意义。",
  pixels: "像素",
  downloads: "下载",
  saveOverlay: "保存图像",
  saveOverlayTitle: "整幅图像及其热图，PNG 格式",
  saveJson: "保存 JSON",
  saveJsonTitle: "所有图像的结果，格式与 predict.py 相同",
  saveCsv: "保存 CSV",
  saveCsvTitle: "所有图像的结果，格式与 predict.py 相同",
  images: "图像列表",
  add: "添加图像",
  remove: "移除",
  clear: "全部移除",
  release: "松开以添加图像",
  waiting: "等待中",
  running: "计算中",
  failed: "无法读取",
  done: "完成",
  warned: "有警告",
  noFinding: "均不存在",
  presentCount: (count) => `${count} 项存在`,
  queue: (done, all) => `已完成 ${done} / ${all}`,
  queueFailed: (failed) => `${failed} 幅无法读取`,
  stage_download: "正在加载网络",
  stage_compile: "正在准备网络",
  stage_read: "正在读取图像",
  stage_network: "正在计算征象",
  stage_upload: "正在发送图像",
  stage_wait: "正在等待网络",
  stage_: "正在处理",
  ready: "准备就绪",
  result: (name, summary, top) => `${name}：${summary}。概率最高：${top}。`,
  failedImage: (name, reason) => `${name}：${reason}`,
  noFiles: "没有收到文件。请从文件夹中拖入图像文件，而不是网页上的图片。",
  examplesFailed: "无法加载示例；此页面的文件夹不完整。",
  useFloat32: "改用 float32 权重",
  useFloat16: "改用 float16 权重",
  window_: "窗",
  crops: { 1: "单个裁剪", 10: "十个裁剪", dense: "整幅图像" },
};

const CHINESE_FINDINGS = {
  Atelectasis: "肺不张",
  Cardiomegaly: "心脏增大",
  Effusion: "胸腔积液",
  Infiltration: "浸润",
  Mass: "肿块",
  Nodule: "结节",
  Pneumonia: "肺炎",
  Pneumothorax: "气胸",
  Consolidation: "实变",
  Edema: "水肿",
  Emphysema: "肺气肿",
  Fibrosis: "纤维化",
  Pleural_Thickening: "胸膜增厚",
  Hernia: "疝",
};

const asked = new URLSearchParams(globalThis.location?.search).get("lang") ?? globalThis.navigator?.language ?? "en";
let chinese = asked.toLowerCase().startsWith("zh");

/** Return the language in use, "en" or "zh". */
export const language = () => (chinese ? "zh" : "en");

/** Choose the language: "en" or "zh". */
export function setLanguage(name) {
  chinese = name === "zh";
}

/** Return a text by its key; functions are called with the arguments. */
export function text(key, ...args) {
  const value = (chinese ? CHINESE : ENGLISH)[key];
  return typeof value === "function" ? value(...args) : value;
}

/** Return the name of a finding to show; in Chinese, the English name follows. */
export function findingName(name) {
  const english = name.replaceAll("_", " ");
  const translated = chinese && Object.hasOwn(CHINESE_FINDINGS, name) ? CHINESE_FINDINGS[name] : "";
  return translated ? `${translated} ${english}` : english;
}

/** Fill all elements with `data-text`, the titles `data-title` and the accessible names `data-label`. */
export function fillTexts(root) {
  for (const node of root.querySelectorAll("[data-title]")) node.title = text(node.dataset.title);
  for (const node of root.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of root.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", text(node.dataset.label));
    if (node.tagName === "BUTTON") node.title = text(node.dataset.label);
  }
}
