/* Decoders of compressed pixels: libjpeg-turbo, CharLS and OpenJPEG in WebAssembly, and lossless JPEG.
 *
 * Each takes the bytes of a stream and returns {width, height, channels, bits, signed, samples}. It throws if the stream
 * is damaged or truncated. A module is loaded when the first image needs it.
 */

import charls from "@cornerstonejs/codec-charls/decodewasmjs";
import libjpeg from "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs";
import openjpeg from "@cornerstonejs/codec-openjpeg/decodewasmjs";

import { decodeLosslessJpeg } from "./lossless_jpeg.js";

/** Make the decoders; `loadWasm` returns the content of a WebAssembly file as an ArrayBuffer. */
export function makeDecoders(loadWasm) {
  const modules = new Map();
  const instance = (factory, file) => {
    if (!modules.has(file))
      modules.set(
        file,
        loadWasm(file).then((wasmBinary) => factory({ wasmBinary, print: () => {}, printErr: () => {} })),
      );
    return modules.get(file);
  };
  return {
    jpeg: async (bytes) => decode(new (await instance(libjpeg, "libjpegturbowasm_decode.wasm")).JPEGDecoder(), bytes),
    jpegLs: async (bytes) => decode(new (await instance(charls, "charlswasm_decode.wasm")).JpegLSDecoder(), bytes),
    jpeg2000: async (bytes) => decode(new (await instance(openjpeg, "openjpegwasm_decode.wasm")).J2KDecoder(), bytes),
    losslessJpeg: async (bytes) => decodeLosslessJpeg(bytes),
  };
}

function decode(decoder, bytes) {
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decode();
    const { width, height, bitsPerSample, componentCount, isSigned } = decoder.getFrameInfo();
    const data = decoder.getDecodedBuffer().slice(); // the module's memory changes
    const size = width * height * componentCount * (bitsPerSample > 8 ? 2 : 1);
    if (data.length !== size) throw new Error("a stream whose pixels are incomplete");
    const samples = bitsPerSample > 8 ? new Uint16Array(data.buffer, data.byteOffset, size / 2) : data;
    return { width, height, channels: componentCount, bits: bitsPerSample, signed: isSigned, samples };
  } finally {
    decoder.delete();
  }
}
