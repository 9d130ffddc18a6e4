/* Chinese for the warnings that chexnet.inference.image_checks and chexnet.data.images give in English. */

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

/** Return a warning in Chinese, or the English sentence if no pattern knows it. */
export function translateWarning(warning) {
  for (const [pattern, translation] of PATTERNS) {
    const match = pattern.exec(warning);
    if (match) return translation(...match.slice(1));
  }
  return warning;
}
