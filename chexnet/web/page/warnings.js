/* Chinese for the English sentences of the engines: all warnings of chexnet.inference.image_checks and chexnet.data.images,
 * and the most frequent errors. */

const SIDES = { top: "上", bottom: "下", left: "左", right: "右" };

/** The places "12 % at the top, 9 % at the left" in Chinese. */
const places = (list) => list.replace(/(\d+) % at the (\w+)/g, (_, share, side) => `${SIDES[side]}方占 ${share} %`).replaceAll(", ", "、");

export const PATTERNS = [
  [/^its modality is (.*), not a radiograph$/s, (modality) => `检查类型为 ${modality}，不是 X 线平片`],
  [/^its view position is (.*), not frontal \(.*\)$/s, (view) => `投照体位为 ${view}，不是正位（PA 或 AP）`],
  [
    /^a damaged PNG: ignored (.*), whose checksum is wrong; the pixels are intact$/s,
    (chunks) => `PNG 文件有损坏：忽略了校验和错误的 ${chunks}；像素完好`,
  ],
  [
    /^its highest sample is ([\d,]+) of ([\d,]+): much darker than usual for a radiograph$/,
    (highest, white) => `最高像素值为 ${highest}（满量程 ${white}）：比通常的胸片暗得多`,
  ],
  [
    /^its highest sample is ([\d,]+) of ([\d,]+): if this is (\d+)-bit data, use --sample_bits \d+$/,
    (highest, white, bits) => `最高像素值为 ${highest}（满量程 ${white}）：如果是 ${bits} 位数据，请在命令行使用 --sample_bits ${bits}`,
  ],
  [
    /^only (\d+) x (\d+) pixels, expected at least (\d+) per side$/,
    (width, height, side) => `只有 ${width} × ${height} 像素，每边至少应有 ${side} 像素`,
  ],
  [
    /^one side is ([\d.]+) times the other, expected at most ([\d.]+) times$/,
    (ratio, most) => `一边是另一边的 ${ratio} 倍，最多应为 ${most} 倍`,
  ],
  [/^it has colors: .*$/, () => "图像有颜色：可能是照片或屏幕截图，不是原始胸片"],
  [
    /^almost uniform: (\d+) gray levels, standard deviation (\d+) of 255$/,
    (levels, deviation) => `几乎均匀：只有 ${levels} 个灰度级，标准差为 ${deviation}（满量程 255）`,
  ],
  [
    /^a uniform border or bar, (.*): crop it, because the network sees it too$/,
    (list) => `有均匀的边框或色条（${places(list)}）：请裁掉，因为网络也会看到它`,
  ],
  [/^probably inverted: .*$/, () => "可能黑白反转：背景和肺野偏亮，而空气应当是暗的"],
  [/^does not look like an upright frontal chest radiograph: .*$/, () => "不像直立位的正位胸片：在预期位置没有两个较暗的肺野"],
  [/^if so, its numbers are meaningless: .*$/, () => "如果确实如此，这些数字没有意义：网络只用直立位的正位胸片训练"],
];

export const ERROR_PATTERNS = [
  [/^not an image: expected .*$/, () => "不是图像：请选择 PNG、JPEG 或 DICOM 格式的胸片"],
  [/^an empty file: expected .*$/, () => "文件为空：请选择 PNG、JPEG 或 DICOM 格式的胸片"],
  [/^the browser cannot read it: .*$/, () => "浏览器无法读取：请选择文件，而不是文件夹"],
  [/^(\d+) bytes, expected at most (\d+): use a smaller file$/, (size, most) => `文件有 ${size} 字节，最多 ${most} 字节：请使用较小的文件`],
  [/^a file of (.*), which the page does not read: .*$/, (format) => `此页面不能读取 ${format} 格式：请转换为 PNG，或使用 predict.py`],
  [/^cannot be decoded as an image \((.*)\); .*$/s, (reason) => `无法解码（${reason}）；请重新获取该文件、转换为 PNG，或使用 predict.py`],
  [/^a damaged PNG: .*$/, () => "PNG 文件已损坏：请重新获取该文件，或重新保存为 PNG"],
  [/^(\d+) x (\d+) pixels, expected (.*)$/, (width, height) => `图像为 ${width} × ${height} 像素，尺寸超出网络可用的范围`],
  [/^several frames, .*$/, () => "文件含有多帧：请选择单幅图像"],
  [/^The network (\S+) cannot be loaded \((.*)\): .*$/s, (address, reason) => `无法加载网络 ${address}（${reason}）：请重新加载此页面，或重新生成页面。`],
  [/^This browser has no WebAssembly SIMD, .*$/, () => "此浏览器不支持网络所需的 WebAssembly SIMD：请使用 Chrome 或 Edge 91、Firefox 113、Safari 16.4 或更高版本。"],
  [/^(\S+) is a graph of layout (\S+), and this page reads layout (\d+): .*$/, (file, found, known) => `${file} 的版本为 ${found}，而此页面只能读取版本 ${known}：请用 tools/build_page.py 重新生成页面。`],
  [/^The program that reads images did not start or stopped \((.*)\): .*$/s, (reason) => `读取图像的程序没有启动或已停止（${reason}）：请重新加载此页面；如果仍然无效，说明页面的文件夹不完整，需要重新生成。`],
  [/^The server does not answer: .*$/, () => "服务器没有应答：请确认它仍在运行，然后重试。"],
];

/** Return a warning in Chinese, or the English sentence if no pattern knows it. */
export const translateWarning = (warning) => translate(warning, PATTERNS);

/** Return an error in Chinese, or the English sentence if no pattern knows it. */
export const translateError = (error) => translate(error, ERROR_PATTERNS);

function translate(sentence, patterns) {
  for (const [pattern, translation] of patterns) {
    const match = pattern.exec(sentence);
    if (match) return translation(...match.slice(1));
  }
  return sentence;
}
