/* Decode lossless JPEG (T.81 process 14, annex H) of one component.
 *
 * jpeg-lossless-decoder-js is not used: it takes damaged and truncated data for pixels, where this refuses.
 */

const [SOI, SOF3, DHT, SOS, EOI, DRI] = [0xffd8, 0xffc3, 0xffc4, 0xffda, 0xffd9, 0xffdd];

/** Prediction of a sample from those to the left, above, and above to the left (table H.1). */
const PREDICTORS = {
  1: (left) => left,
  2: (left, up) => up,
  3: (left, up, corner) => corner,
  4: (left, up, corner) => left + up - corner,
  5: (left, up, corner) => left + ((up - corner) >> 1),
  6: (left, up, corner) => up + ((left - corner) >> 1),
  7: (left, up) => (left + up) >> 1,
};

const fail = (reason) => {
  throw new Error(`a lossless JPEG ${reason}`);
};

/** Decode a stream.
 *
 * @param {Uint8Array} data
 * @returns {{width, height, channels, bits, signed, samples}} see codecs.js
 * @throws Error: the stream is of another kind, damaged or truncated
 */
export function decodeLosslessJpeg(data) {
  const { frame, tables, scan, interval, offset } = readSegments(data);
  const { width, height, bits } = frame;
  const samples = new (bits > 8 ? Uint16Array : Uint8Array)(width * height);
  const reader = new BitReader(data, offset);
  const table = tables[scan.table] ?? fail("without its Huffman table");
  const start = 2 ** (bits - 1);
  const predict = (samples, i, x, isFirstRow) => {
    if (isFirstRow) return x === 0 ? start : samples[i - 1];
    if (x === 0) return samples[i - width];
    return PREDICTORS[scan.predictor](samples[i - 1], samples[i - width], samples[i - width - 1]);
  };
  const mask = 2 ** bits - 1;
  let [first, restarts] = [0, 0]; // first row since the last restart
  for (let y = 0, i = 0; y < height; y++) {
    if (interval && i && i % interval === 0) {
      reader.restart(restarts++ % 8);
      first = y;
    }
    for (let x = 0; x < width; x++, i++) {
      const sample = (predict(samples, i, x, y === first) + reader.difference(table)) & 0xffff;
      if (sample > mask) fail("with a sample above its precision");
      samples[i] = sample;
    }
  }
  reader.end();
  return { width, height, channels: 1, bits, signed: false, samples };
}

/** Read the segments up to the data of the only scan. */
function readSegments(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.getUint16(0) !== SOI) fail("without a start");
  const tables = {};
  let [frame, interval, offset] = [null, 0, 2];
  for (;;) {
    while (data[offset] === 0xff && data[offset + 1] === 0xff) offset += 1; // fill bytes
    const marker = view.getUint16(offset);
    const end = offset + 2 + view.getUint16(offset + 2);
    const segment = data.subarray(offset + 4, end);
    if (marker < 0xff01 || end > data.length) fail("whose segments are damaged");
    if (marker === DHT) readTables(segment, tables);
    else if (marker === DRI) interval = view.getUint16(offset + 4);
    else if (marker === SOF3) frame = readFrame(segment, frame);
    else if (marker >= 0xffc0 && marker <= 0xffcf) fail("of another process");
    else if (marker === SOS) return { frame, tables, interval, scan: readScan(segment, frame, interval), offset: end };
    offset = end;
  }
}

function readFrame(segment, previous) {
  const [bits, , , , , channels] = segment;
  const [height, width] = [256 * segment[1] + segment[2], 256 * segment[3] + segment[4]];
  if (previous || segment.length !== 9 || channels !== 1 || bits < 2 || bits > 16 || !width || !height)
    fail("whose frame is damaged or has several components");
  return { width, height, bits };
}

function readScan(segment, frame, interval) {
  const [channels, , tables, predictor, , approximation] = segment;
  if (!frame || segment.length !== 6 || channels !== 1 || predictor < 1 || predictor > 7)
    fail("whose scan is damaged or has several components");
  if (approximation & 15) fail("with a point transform");
  if (interval % frame.width) fail("that restarts inside a row");
  return { table: tables >> 4, predictor };
}

/** Read Huffman tables: for each length, the first code, the last one and the index of its value (annex F.2.2.3). */
function readTables(segment, tables) {
  for (let offset = 0; offset < segment.length; ) {
    const counts = segment.subarray(offset + 1, offset + 17);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const values = segment.subarray(offset + 17, offset + 17 + total);
    if (counts.length !== 16 || values.length !== total || values.some((value) => value > 16))
      fail("whose Huffman table is damaged");
    const lengths = [];
    let [code, index] = [0, 0];
    for (const count of counts) {
      lengths.push({ last: code + count - 1, shift: index - code, used: count > 0 });
      index += count;
      code = 2 * (code + count);
      if (code > 2 ** (lengths.length + 1)) fail("whose Huffman table is damaged");
    }
    tables[segment[offset]] = { lengths, values };
    offset += 17 + total;
  }
}

/** Read the bits of entropy-coded data, in which a zero byte follows 0xFF. */
class BitReader {
  constructor(data, offset) {
    Object.assign(this, { data, offset, bits: 0, count: 0 });
  }

  bit() {
    if (!this.count) {
      const byte = this.data[this.offset];
      if (byte === undefined || (byte === 0xff && this.data[this.offset + 1] !== 0)) fail("that is truncated");
      this.offset += byte === 0xff ? 2 : 1;
      [this.bits, this.count] = [byte, 8];
    }
    this.count -= 1;
    return (this.bits >> this.count) & 1;
  }

  /** Decode the difference of a sample from its prediction. */
  difference({ lengths, values }) {
    let code = 0;
    for (const { last, shift, used } of lengths) {
      code = 2 * code + this.bit();
      if (!used || code > last) continue;
      const size = values[code + shift];
      if (size === 16) return 32768;
      let extra = 0;
      for (let i = 0; i < size; i++) extra = 2 * extra + this.bit();
      return size && extra < 2 ** (size - 1) ? extra - 2 ** size + 1 : extra;
    }
    return fail("with an invalid code");
  }

  /** Go to the next marker, which must be the given one. */
  marker(expected) {
    this.count = 0;
    while (this.data[this.offset] === 0xff && this.data[this.offset + 1] === 0xff) this.offset += 1;
    const found = 256 * this.data[this.offset] + this.data[this.offset + 1];
    if (found !== expected) fail("with a misplaced or missing marker");
    this.offset += 2;
  }

  restart(number) {
    this.marker(0xffd0 + number);
  }

  end() {
    this.marker(EOI);
  }
}
