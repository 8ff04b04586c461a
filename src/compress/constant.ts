/** Results of the algorithms as constants of a graph, and weights of a graph as matrices. */
import { type Constant, denseConstant, bytesSource, transposeConstant } from '../ir/constant.ts';
import type { DType } from '../ir/types.ts';
import { pack } from '../tensor/pack.ts';
import { quantizedConstant } from '../tensor/quantized.ts';
import { readConstant } from '../tensor/read.ts';
import type { Matrix, QuantizedMatrix } from './matrix.ts';

/** The weight of a linear layer, stored [inputs, outputs] in the graph, as rows of outputs. */
export function matrixOf(weight: Constant): Matrix {
  const [columns, rows] = weight.shape;
  const { data } = readConstant(transposeConstant(weight, [1, 0]));
  return { rows, columns, values: data instanceof Float32Array ? data : Float32Array.from(data) };
}

/** A quantized matrix as a weight [inputs, outputs]. */
export function weightFrom(name: string, q: QuantizedMatrix, dtype: DType): Constant {
  const constant = quantizedConstant(name, {
    stored: q.stored,
    shape: [q.rows, q.columns],
    codes: q.codes,
    block: [q.shared ? q.rows : 1, q.group],
    scales: q.tensorScale === undefined ? plainScales(name, q) : scaledScales(name, q, q.tensorScale),
    scaleType: q.scaleType,
    zeros: q.zeros,
    ...(q.zeroType === undefined ? {} : { zeroType: q.zeroType }),
    dtype,
  });
  return transposeConstant(constant, [1, 0]);
}

/** Scales as they are stored, read as f32: a product with an f16 scale is not rounded to f16. */
function plainScales(name: string, { rows, columns, group, shared, scales, scaleType }: QuantizedMatrix): Constant {
  const shape = [shared ? 1 : rows, Math.ceil(columns / group)];
  const stored = denseConstant(scaleType, shape, bytesSource(`${name}.scales`, pack(scaleType, scales)));
  return scaleType === 'f16' ? { ...stored, dtype: 'f32' } : stored;
}

/** NVFP4: scales that have a scale themselves. */
function scaledScales(
  name: string,
  { rows, columns, group, scales, scaleType }: QuantizedMatrix,
  scale: number,
): Constant {
  const shape = [rows, Math.ceil(columns / group)];
  return quantizedConstant(`${name}.scales`, {
    stored: scaleType,
    shape,
    codes: scales,
    block: shape,
    scales: Float32Array.of(scale),
    scaleType: 'f32',
    zeros: 0,
  });
}

/** Rows of outputs as a dense weight [inputs, outputs]. */
export function denseWeight(name: string, { rows, columns, values }: Matrix, dtype: DType): Constant {
  return transposeConstant(denseConstant(dtype, [rows, columns], bytesSource(name, pack(dtype, values))), [1, 0]);
}
