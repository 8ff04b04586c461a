/** The kernels of quant.wat on arrays of JavaScript's: blocks of rows go in and results come out. Undefined where there is no SIMD. */
import { QUANT } from './wasm-bytes.ts';

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
interface Exports {
  readonly memory: Memory;
  encode(
    weights: number,
    codes: number,
    scales: number,
    zeros: number,
    rows: number,
    columns: number,
    group: number,
    low: number,
    high: number,
  ): void;
  extremes(weights: number, low: number, high: number, rows: number, columns: number, group: number): void;
}
interface Wasm {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports };
}
declare const WebAssembly: Wasm | undefined;

const PAGE = 65536;
/** Weights that are worked on at once: with codes and groups of one weight, some 5 MiB. */
const BLOCK = 2 ** 18;

/** A matrix in groups: see quant.wat. */
export interface Grouped {
  readonly rows: number;
  readonly columns: number;
  readonly group: number;
}

let exports: Exports | null | undefined;
function loaded(): Exports | null {
  if (exports !== undefined) return exports;
  try {
    exports =
      WebAssembly === undefined
        ? null
        : new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(QUANT, 'base64')), {}).exports;
  } catch {
    exports = null; // no SIMD
  }
  return exports;
}

/** Calls `run` for blocks of whole rows, with room for a block's weights, codes, and two numbers a group; false where a row is too long or nothing runs. */
function inBlocks(
  { rows, columns, group }: Grouped,
  run: (kernels: Exports, first: number, count: number, at: readonly [number, number, number, number]) => void,
): boolean {
  const kernels = loaded();
  if (kernels === null || columns > BLOCK || rows * columns === 0) return false;
  const step = Math.max(1, Math.floor(BLOCK / columns));
  const groups = step * Math.ceil(columns / group);
  const codes = 4 * step * columns;
  const numbers = codes + 4 * Math.ceil((step * columns) / 4);
  const at = [0, codes, numbers, numbers + 4 * groups] as const;
  const missing = Math.ceil((numbers + 8 * groups - kernels.memory.buffer.byteLength) / PAGE);
  if (missing > 0) kernels.memory.grow(missing);
  for (let first = 0; first < rows; first += step) run(kernels, first, Math.min(step, rows - first), at);
  return true;
}

/** Codes of all weights, clip(rne(w / scale) + zero), in `codes`; false where the caller has to do it. */
export function encodeBlocks(
  shape: Grouped,
  values: Float32Array,
  scales: Float32Array,
  zeros: Float32Array,
  range: { readonly low: number; readonly high: number },
  codes: Int8Array | Uint8Array,
): boolean {
  const { columns, group } = shape;
  const perRow = Math.ceil(columns / group);
  return inBlocks(shape, (kernels, first, count, [w, q, s, z]) => {
    const { buffer } = kernels.memory;
    const [from, to] = [first * columns, (first + count) * columns];
    const [g0, g1] = [first * perRow, (first + count) * perRow];
    new Float32Array(buffer, w, to - from).set(values.subarray(from, to));
    new Float32Array(buffer, s, g1 - g0).set(scales.subarray(g0, g1));
    new Float32Array(buffer, z, g1 - g0).set(zeros.subarray(g0, g1));
    kernels.encode(w, q, s, z, count, columns, group, range.low, range.high);
    const made =
      codes instanceof Int8Array ? new Int8Array(buffer, q, to - from) : new Uint8Array(buffer, q, to - from);
    codes.set(made, from);
  });
}

/** Least and largest weight of every group; false where the caller has to do it. */
export function extremesInBlocks(shape: Grouped, values: Float32Array, low: Float32Array, high: Float32Array): boolean {
  const { columns, group } = shape;
  const perRow = Math.ceil(columns / group);
  return inBlocks(shape, (kernels, first, count, [w, , l, h]) => {
    const { buffer } = kernels.memory;
    const [from, to] = [first * columns, (first + count) * columns];
    const groups = count * perRow;
    new Float32Array(buffer, w, to - from).set(values.subarray(from, to));
    kernels.extremes(w, l, h, count, columns, group);
    low.set(new Float32Array(buffer, l, groups), first * perRow);
    high.set(new Float32Array(buffer, h, groups), first * perRow);
  });
}
