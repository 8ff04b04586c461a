/**
 * A WebAssembly memory with the SIMD kernels of gemm.wat and rows.wat on it. Weights stay in it from call to call, activations come
 * and go; the arrays it gives out are views that stay valid when it grows (the memory is shared, so that worker
 * threads can compute in it). It never shrinks, and ends at 4 GiB: then `take` gives undefined and the caller does
 * without.
 */
import { GEMM, ROWS } from './wasm-bytes.ts';

/** The part of the WebAssembly API that is used here; Node has it, its type package does not. */
interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}
interface Wasm {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Kernels & RowKernels };
}
declare const WebAssembly: Wasm | undefined;

/** Exports of gemm.wat: addresses and strides in bytes, see there. */
export interface Kernels {
  gemm(
    a: number,
    lda: number,
    b: number,
    ldb: number,
    step: number,
    c: number,
    ldc: number,
    m: number,
    n: number,
    k: number,
    bias: number,
  ): void;
  gemm_nt(
    a: number,
    lda: number,
    b: number,
    ldb: number,
    c: number,
    ldc: number,
    m: number,
    n: number,
    k: number,
  ): void;
  gemm_codes(
    a: number,
    lda: number,
    codes: number,
    bits: number,
    scales: number,
    zeros: number,
    stride: number,
    block: number,
    c: number,
    ldc: number,
    m: number,
    n: number,
    k: number,
    bias: number,
    scratch: number,
  ): void;
  gemm_i16(a: number, b: number, c: number, m: number, n: number, pairs: number): void;
  pack_nt(b: number, ldb: number, n: number, k: number, to: number): void;
}

/** Exports of rows.wat. */
export interface RowKernels {
  map(op: number, out: number, x: number, n: number): void;
  binary(
    op: number,
    outs: number,
    rows: number,
    length: number,
    xs: number,
    xstep: number,
    ys: number,
    ystep: number,
  ): void;
  copy(outs: number, xs: number, rows: number, length: number): void;
  sums(out: number, x: number, rows: number, length: number, by: number): void;
  softmax(out: number, x: number, rows: number, length: number): void;
  norm(
    out: number,
    x: number,
    rows: number,
    length: number,
    gain: number,
    bias: number,
    eps: number,
    centred: number,
  ): void;
  narrow(kind: number, x: number, n: number): void;
}

const PAGE = 65536;
const MAX_PAGES = 65536;
/** Blocks begin at multiples of it: a cache line. */
const ALIGN = 64;
/** Kernels may read (never store) so far beyond the last column of a matrix. */
const SLACK = 64;

let compiled: Modules | null | undefined;

interface Modules {
  readonly gemm: object;
  readonly rows: object;
}

/** The modules, compiled once; null where the engine has no SIMD or no shared memory. */
function kernelModules(): Modules | null {
  if (compiled !== undefined) return compiled;
  try {
    const compile = (bytes: string, { Module }: Wasm): object => new Module(Buffer.from(bytes, 'base64'));
    compiled =
      WebAssembly === undefined ? null : { gemm: compile(GEMM, WebAssembly), rows: compile(ROWS, WebAssembly) };
  } catch {
    compiled = null;
  }
  return compiled;
}

/** A range of the memory. */
export interface Block {
  readonly at: number;
  readonly bytes: number;
}

export class KernelMemory {
  readonly kernels: Kernels;
  readonly rows: RowKernels;
  /** What a worker thread needs to compute in the same memory. */
  readonly shared: { readonly memory: object; readonly module: object };
  private readonly memory: WasmMemory;
  private readonly maximum: number;
  private end = ALIGN;
  /** Blocks given back, by size. */
  private readonly free = new Map<number, number[]>();

  private constructor(memory: WasmMemory, modules: Modules, wasm: Wasm, maximum: number) {
    this.memory = memory;
    this.maximum = maximum;
    this.shared = { memory, module: modules.gemm };
    this.kernels = new wasm.Instance(modules.gemm, { wafc: { memory } }).exports;
    this.rows = new wasm.Instance(modules.rows, { wafc: { memory } }).exports;
  }

  /** A memory of at most `maxBytes`, or undefined where kernels cannot run: then plain TypeScript computes the same. */
  static open(maxBytes = MAX_PAGES * PAGE): KernelMemory | undefined {
    const modules = kernelModules();
    if (modules === null || WebAssembly === undefined) return undefined;
    const maximum = Math.min(MAX_PAGES, Math.ceil(maxBytes / PAGE));
    try {
      // The module declares the largest maximum; a smaller one is kept by this class.
      const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true });
      return new KernelMemory(memory, modules, WebAssembly, maximum);
    } catch {
      return undefined; // no address space left for a memory
    }
  }

  /** A block of zeros or of old content, or undefined when the memory is full. */
  take(bytes: number): Block | undefined {
    const size = Math.ceil((bytes + SLACK) / ALIGN) * ALIGN;
    const at = this.free.get(size)?.pop();
    if (at !== undefined) return { at, bytes: size };
    const end = this.end + size;
    const pages = Math.ceil(end / PAGE);
    const have = this.memory.buffer.byteLength / PAGE;
    if (pages > this.maximum) return undefined;
    if (pages > have) {
      // Pages that nobody touches cost nothing.
      const wanted = Math.min(this.maximum, Math.max(pages, 2 * have));
      try {
        this.memory.grow(wanted - have);
      } catch {
        return undefined;
      }
    }
    const block = { at: this.end, bytes: size };
    this.end = end;
    return block;
  }

  /** Gives a block back; arrays on it must not be used any more. */
  give({ at, bytes }: Block): void {
    const same = this.free.get(bytes);
    if (same) same.push(at);
    else this.free.set(bytes, [at]);
  }

  f32 = (at: number, count: number): Float32Array => new Float32Array(this.memory.buffer, at, count);
  i32 = (at: number, count: number): Int32Array => new Int32Array(this.memory.buffer, at, count);
  i16 = (at: number, count: number): Int16Array => new Int16Array(this.memory.buffer, at, count);
  u8 = (at: number, count: number): Uint8Array => new Uint8Array(this.memory.buffer, at, count);
}
