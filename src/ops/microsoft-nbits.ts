/** com.microsoft's block-quantized weights: MatMulNBits and GatherBlockQuantized. */
import { type Dim, isKnown, mulDims } from '../ir/dim.ts';
import type { DType } from '../ir/types.ts';
import { unpackCodes } from '../tensor/sub-byte.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { normalAxis, printShape, splitAt } from './support/axes.ts';
import { stored } from './support/elementwise.ts';
import { badValue, unsupported } from './support/fault.ts';
import { dense, gemm, transposed } from './support/gemm.ts';
import { wrapIndex } from './support/index.ts';
import { tensorAt, typeAt } from './support/inputs.ts';

export interface NBits {
  readonly bits: number;
  readonly rows: number;
  readonly columns: number;
  /** Columns that share a scale; the last block of a row may be partly padding. */
  readonly block: number;
}

/**
 * The weight [rows, columns] of packed codes: (code - zero) * scale in f32, a row being `ceil(columns / block)` whole blocks
 * of bytes, low bits first. Zero points are packed like codes, one row of bytes per weight row, or plain floats.
 * `groups` names the block whose scale and zero point a column has, where that is not the block it lies in.
 */
export function dequantizeNBits(
  codes: Tensor,
  scales: Tensor,
  zeros: Tensor | undefined,
  form: NBits,
  groups?: ArrayLike<number>,
): Float32Array {
  const { bits, rows, columns, block } = form;
  const blocks = Math.ceil(columns / block);
  const rowBytes = (blocks * block * bits) / 8;
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    const row = unpackCodes(
      bits,
      Uint8Array.from(codes.data.subarray(r * rowBytes, (r + 1) * rowBytes)),
      0,
      blocks * block,
    );
    const packed =
      zeros?.dtype === 'u8' ? Uint8Array.from(zeros.data.subarray(r * zeroBytes, (r + 1) * zeroBytes)) : undefined;
    const zeroRow = packed ? unpackCodes(bits, packed, 0, blocks) : zeros?.data.subarray(r * blocks, (r + 1) * blocks);
    for (let c = 0; c < columns; c++) {
      const at = groups ? groups[c] : Math.floor(c / block);
      const centred = Math.fround(row[c] - (zeroRow ? zeroRow[at] : 2 ** (bits - 1)));
      out[r * columns + c] = centred * scales.data[r * blocks + at];
    }
  }
  return out;
}

function formOf({ attrs }: Pick<InferContext, 'attrs'>): NBits {
  const bits = attrs.int('bits', 4);
  if (![2, 4, 8].includes(bits)) unsupported('MatMulNBits', `${bits} bits; supported: 2, 4, 8`);
  return { bits, rows: attrs.int('N'), columns: attrs.int('K'), block: attrs.int('block_size') };
}

/** The checked `g_idx`: a block for every column, and maybe for the padding behind them. */
function groupsOf(indices: Tensor | undefined, { columns, block }: NBits): ArrayLike<number> | undefined {
  if (indices === undefined) return undefined;
  const { data } = indices;
  const blocks = Math.ceil(columns / block);
  if (data.length < columns) badValue('MatMulNBits', `expected ${columns} group indices, found ${data.length}`);
  for (let c = 0; c < columns; c++) {
    if (data[c] < 0 || data[c] >= blocks) badValue('MatMulNBits', `expected groups below ${blocks}, found ${data[c]}`);
  }
  return data;
}

const matMulNBits = defineOp({
  domain: 'com.microsoft',
  name: 'MatMulNBits',
  since: [1],
  trait: 'compute',
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const { bits, rows, columns, block } = formOf(context);
    const last = shape.at(-1);
    if (last === undefined || (isKnown(last) && last !== columns)) {
      context.mismatch({ input: 0, expected: `${columns} as the last dim`, found: printShape(shape) });
    }
    const bytes = (rows * Math.ceil(columns / block) * block * bits) / 8;
    const packed = typeAt(context, 1).shape.reduce(mulDims, 1);
    if (isKnown(packed) && packed !== bytes) {
      context.mismatch({ input: 1, expected: `${bytes} bytes of codes`, found: String(packed) });
    }
    return { types: [{ dtype, shape: [...shape.slice(0, -1), rows] }] };
  },
  run(context) {
    const x = tensorAt(context, 0);
    const form = formOf(context);
    const groups = groupsOf(context.inputs[4], form);
    const weight = dequantizeNBits(tensorAt(context, 1), tensorAt(context, 2), context.inputs[3], form, groups);
    const bias = context.inputs[5];
    const shape = [...x.shape.slice(0, -1), form.rows];
    const out = allocate(x.dtype, sizeOf(shape));
    const right = transposed(dense(weight, form.columns));
    gemm(out.length / form.rows, form.rows, form.columns, dense(x.data, form.columns), right, dense(out, form.rows));
    for (let i = 0; bias && i < out.length; i++) out[i] += bias.data[i % form.rows];
    return [tensor(x.dtype, shape, stored(x.dtype, out))];
  },
});

/** Codes per stored element: bytes hold several along the last axis, the 4-bit types one. */
const perElement = (context: InferContext | RunContext, dtype: DType): number =>
  dtype === 'u8' ? 8 / context.attrs.int('bits', 4) : 1;

function unpacked(source: Tensor, per: number): Tensor {
  if (per === 1) return source;
  const shape = source.shape.with(-1, source.shape[source.shape.length - 1] * per);
  return { dtype: 'u8', shape, data: unpackCodes(8 / per, Uint8Array.from(source.data), 0, sizeOf(shape)) };
}

const gatherBlockQuantized = defineOp({
  domain: 'com.microsoft',
  name: 'GatherBlockQuantized',
  since: [1],
  trait: 'compute',
  infer(context) {
    const data = typeAt(context, 0);
    const per = perElement(context, data.dtype);
    const axis = normalAxis(context.attrs.int('gather_axis', 0), data.shape.length, context);
    const shape: readonly Dim[] = data.shape.with(-1, mulDims(data.shape[data.shape.length - 1], per));
    const out = [...shape.slice(0, axis), ...typeAt(context, 1).shape, ...shape.slice(axis + 1)];
    return { types: [{ dtype: typeAt(context, 2).dtype, shape: out }] };
  },
  run(context) {
    const packed = tensorAt(context, 0);
    const per = perElement(context, packed.dtype);
    const codes = unpacked(packed, per);
    const [indices, scales] = [tensorAt(context, 1), tensorAt(context, 2)];
    const zeros = context.inputs[3] && unpacked(context.inputs[3], per);
    const { shape } = codes;
    const gatherAxis = normalAxis(context.attrs.int('gather_axis', 0), shape.length);
    const blockAxis = normalAxis(context.attrs.int('quantize_axis', 1), shape.length);
    const block = context.attrs.int('block_size', 128);
    // Bytes are unsigned codes around the midpoint; the 4-bit types are what they say.
    const middle = packed.dtype === 'u8' ? 2 ** (context.attrs.int('bits', 4) - 1) : 0;
    const around = splitAt(shape, blockAxis);
    const blocks = Math.ceil(around.extent / block);
    // Packed zero points fill whole bytes per row, so their rows may be longer than those of the scales.
    const scaleRow = scales.shape[scales.shape.length - 1];
    const zeroRow = zeros?.shape[zeros.shape.length - 1] ?? scaleRow;
    const value = (at: number): number => {
      const i = at % around.inner;
      const k = Math.floor(at / around.inner) % around.extent;
      const o = Math.floor(at / (around.inner * around.extent));
      const scale = (o * blocks + Math.floor(k / block)) * around.inner + i;
      const zero = zeros ? zeros.data[Math.floor(scale / scaleRow) * zeroRow + (scale % scaleRow)] : middle;
      return Math.fround(codes.data[at] - zero) * scales.data[scale];
    };
    const { outer, extent, inner } = splitAt(shape, gatherAxis);
    const outShape = [...shape.slice(0, gatherAxis), ...indices.shape, ...shape.slice(gatherAxis + 1)];
    const out = allocate(scales.dtype, sizeOf(outShape));
    let to = 0;
    for (let o = 0; o < outer; o++) {
      for (const index of indices.data) {
        const from = (o * extent + wrapIndex('GatherBlockQuantized', index, extent)) * inner;
        for (let i = 0; i < inner; i++) out[to++] = value(from + i);
      }
    }
    return [tensor(scales.dtype, outShape, stored(scales.dtype, out))];
  },
});

export const ops = [matMulNBits, gatherBlockQuantized];
