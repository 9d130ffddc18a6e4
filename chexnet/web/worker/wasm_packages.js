/* The WebAssembly files of the decoders, and where they are in the packages. */

export const WASM_PACKAGES = {
  "libjpegturbowasm_decode.wasm": "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm",
  "charlswasm_decode.wasm": "@cornerstonejs/codec-charls/decodewasm",
  "openjpegwasm_decode.wasm": "@cornerstonejs/codec-openjpeg/decodewasm",
};
