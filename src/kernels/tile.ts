/** The kernel of tile.wat and its memory: panels are packed into it where they are used. */
import { TILE } from './wasm-bytes.ts';

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  tile(a: number, b: number, tile: number, k: number): void;
}
interface Wasm {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports };
}
declare const WebAssembly: Wasm | undefined;

const PAGE = 65536;
const TILE_BYTES = 128;

/** Room for panels of A and of one of B, and the product of one of each: valid until the next call of {@link panels}. */
export interface Panels {
  readonly a: Float64Array;
  readonly b: Float64Array;
  readonly tile: Float64Array;
  /** Product of the panel of A that begins at element `at` with that of B, over `k` rows. */
  multiply(at: number, k: number): void;
}

let exports: Exports | null | undefined;
function loaded(): Exports | null {
  if (exports !== undefined) return exports;
  try {
    exports =
      WebAssembly === undefined
        ? null
        : new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(TILE, 'base64')), {}).exports;
  } catch {
    exports = null; // no SIMD
  }
  return exports;
}

/** Undefined where there is no SIMD, or no memory. */
export function panels(lengthA: number, lengthB: number): Panels | undefined {
  const kernels = loaded();
  if (kernels === null) return undefined;
  const { memory } = kernels;
  const [b, a] = [TILE_BYTES, TILE_BYTES + 8 * lengthB];
  const missing = Math.ceil((a + 8 * lengthA - memory.buffer.byteLength) / PAGE);
  try {
    if (missing > 0) memory.grow(missing);
  } catch {
    return undefined;
  }
  return {
    a: new Float64Array(memory.buffer, a, lengthA),
    b: new Float64Array(memory.buffer, b, lengthB),
    tile: new Float64Array(memory.buffer, 0, TILE_BYTES / 8),
    multiply: (at, k) => kernels.tile(a + 8 * at, b, 0, k),
  };
}
