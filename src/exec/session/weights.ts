/**
 * Right-hand matrices that do not change, packed once into kernel memory: f32 as f32, integer codes of at most 8 bits as
 * they are, to be dequantized on the fly. What finds no room is named in `remarks`, and computed by the plain kernels.
 */
import { codesOf, type Constant, isQuantized, type Quantized } from '../../ir/constant.ts';
import { DTYPE_BITS } from '../../ir/types.ts';
import type { KernelMemory } from '../../kernels/memory.ts';
import { type CodeMatrix, type CodeSource, fitsCodes, packCodes, packedBytes, packPanels } from '../../kernels/pack.ts';
import { readConstant } from '../../tensor/read.ts';
import type { TensorData } from '../../tensor/tensor.ts';
import type { Slot } from './slot.ts';

/** A packed [k, n] matrix. */
export type Packed =
  | { readonly kind: 'f32'; readonly at: number }
  | { readonly kind: 'codes'; readonly codes: CodeMatrix };

export interface MatrixView {
  readonly k: number;
  readonly n: number;
  readonly offset: number;
  readonly rowStride: number;
  readonly colStride: number;
}

export class Weights {
  readonly remarks = new Set<string>();
  private readonly memory: KernelMemory;
  private readonly held = new Map<string, { readonly data: TensorData | Constant; readonly packed: Packed }>();
  private readonly vectors = new Map<Slot, { readonly data: TensorData; readonly at: number }>();

  constructor(memory: KernelMemory) {
    this.memory = memory;
  }

  /** The matrix of a known slot; `load` gives its elements when they are needed. */
  matrix(slot: Slot, view: MatrixView, load: (slot: Slot) => void): Packed | undefined {
    const key = `${slot.name}\n${view.offset} ${view.rowStride} ${view.colStride} ${view.k} ${view.n}`;
    const { constant } = slot;
    const found = this.held.get(key);
    if (found !== undefined && (found.data === slot.data || found.data === constant)) return found.packed;
    const packed = this.codes(constant, view) ?? this.panels(slot, view, load);
    if (packed === undefined) {
      this.remarks.add(`${slot.name} does not fit kernel memory: its products run in plain TypeScript`);
      return undefined;
    }
    this.held.set(key, { data: constant ?? slot.data, packed });
    return packed;
  }

  private panels(slot: Slot, view: MatrixView, load: (slot: Slot) => void): Packed | undefined {
    const { k, n } = view;
    const block = this.memory.take(packedBytes(k, n));
    if (block === undefined) return undefined;
    const into = this.memory.f32(block.at, packedBytes(k, n) / 4);
    if (slot.constant === null) load(slot);
    // A constant is read for this only, and not kept beside what is packed.
    const data = slot.constant === null ? slot.data : readConstant(slot.constant).data;
    packPanels(into, { ...view, data }, k, n);
    return { kind: 'f32', at: block.at };
  }

  /** A quantized constant that lies as the product reads it, in the order of its rows. */
  private codes(constant: Constant | null, { k, n, offset, rowStride }: MatrixView): Packed | undefined {
    if (constant === null || !isQuantized(constant) || offset !== 0 || rowStride !== n) return undefined;
    const source = codeSource(constant, k, n);
    return source && this.store(source);
  }

  /** Codes from elsewhere, by a name of their own. */
  named(name: string, data: TensorData | Constant, source: () => CodeSource): Packed | undefined {
    const found = this.held.get(name);
    if (found?.data === data) return found.packed;
    const packed = this.store(source());
    if (packed !== undefined) this.held.set(name, { data, packed });
    return packed;
  }

  private store(source: CodeSource): Packed | undefined {
    if (!fitsCodes(source)) return undefined;
    const codes = packCodes(this.memory, source);
    return codes && { kind: 'codes', codes };
  }

  /** All elements under a known slot's view, as they lie, in kernel memory. */
  vector(slot: Slot): number | undefined {
    const { data } = slot;
    const found = this.vectors.get(slot);
    if (found?.data === data) return found.at;
    const block = this.memory.take(data.length * 4);
    if (block === undefined) return undefined;
    this.memory.f32(block.at, data.length).set(data);
    this.vectors.set(slot, { data, at: block.at });
    return block.at;
  }
}

/** A quantized [k, n] constant as the kernels see codes; undefined for codes or groups that they do not know. */
function codeSource(c: Quantized, k: number, n: number): CodeSource | undefined {
  const { scales, zeros, block, phase, rounded } = c.quantization;
  const integer = /^[iu][248]$/.test(c.stored);
  if (!integer || c.shape.length !== 2 || c.shape[0] !== k || c.dtype !== 'f32' || rounded !== 'f32') return undefined;
  if (phase[0] !== 0) return undefined;
  const codes = readConstant(codesOf(c)).data;
  const scale = readConstant(scales).data;
  const zero = typeof zeros === 'number' ? zeros : readConstant(zeros).data;
  const groups = scales.shape[1];
  // The kernels' codes are unsigned.
  const shift = c.stored.startsWith('i') ? 2 ** (DTYPE_BITS[c.stored] - 1) : 0;
  const group = (i: number, j: number): number => i * groups + Math.floor((j + phase[1]) / block[1]);
  return {
    bits: DTYPE_BITS[c.stored] <= 4 ? 4 : 8,
    k,
    n,
    block: Math.min(block[0], k),
    code: (p, j) => codes[p * n + j] + shift,
    scale: (i, j) => scale[group(i, j)],
    zero: (i, j) => (typeof zero === 'number' ? zero : zero[group(i, j)]) + shift,
  };
}
