/** Codes of 2, 4 and 6 bits in LSB-first bit streams, as ONNX packs them. */

/** `count` codes from element `first` on, one per byte. */
export function unpackCodes(bits: number, bytes: Uint8Array, first: number, count: number): Uint8Array {
  const out = new Uint8Array(count);
  if (bits === 4) {
    let i = 0;
    if (first % 2 === 1 && count > 0) out[i++] = bytes[first >> 1] >> 4;
    let at = (first + i) >> 1;
    for (; i + 1 < count; i += 2, at++) {
      out[i] = bytes[at] & 15;
      out[i + 1] = bytes[at] >> 4;
    }
    if (i < count) out[i] = bytes[at] & 15;
    return out;
  }
  const mask = (1 << bits) - 1;
  for (let i = 0, bit = first * bits; i < count; i++, bit += bits) {
    const at = (bit / 8) | 0;
    const shift = bit & 7;
    // Reading past the end gives undefined, which is 0 here.
    out[i] = ((bytes[at] | (shift + bits > 8 ? bytes[at + 1] << 8 : 0)) >>> shift) & mask;
  }
  return out;
}

/** The low `bits` of each code as a stream, zero-padded to whole bytes. */
export function packCodes(bits: number, codes: ArrayLike<number>): Uint8Array {
  const out = new Uint8Array(Math.ceil((codes.length * bits) / 8));
  if (bits === 4) {
    let i = 0;
    for (; i + 1 < codes.length; i += 2) out[i >> 1] = (codes[i] & 15) | ((codes[i + 1] & 15) << 4);
    if (i < codes.length) out[i >> 1] = codes[i] & 15;
    return out;
  }
  const mask = (1 << bits) - 1;
  for (let i = 0, bit = 0; i < codes.length; i++, bit += bits) {
    const at = (bit / 8) | 0;
    const shift = bit & 7;
    const code = codes[i] & mask;
    out[at] |= code << shift;
    if (shift + bits > 8) out[at + 1] |= code >>> (8 - shift);
  }
  return out;
}
