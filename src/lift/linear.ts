/** Lifting of matrix products with weights, and of normalisations over features. */
import { type Constant, elementCount, reshapeConstant, transposeConstant } from '../ir/constant.ts';
import type { ValueId } from '../ir/ids.ts';
import type { Base } from './form.ts';
import { formOf } from './form.ts';
import { featureVector } from './elementwise.ts';
import { liftScores } from './attention.ts';
import type { Lifter, Plain } from './lifter.ts';

/** MatMul: with a weight it is a linear layer, of two activations it is attention. */
export function liftMatMul(l: Lifter): void {
  const [a, b] = l.op.inputs as ValueId[];
  const weight = l.constant(b);
  if (weight === undefined) return liftScores(l, a, b);
  const matrix = weight.shape.length === 2 ? weight : reshapeConstant(weight, weight.shape.slice(-2));
  if (matrix === undefined || elementCount(matrix.shape) !== elementCount(weight.shape)) {
    l.refuse(`has a weight of shape [${weight.shape}]; one matrix is expected`);
  }
  emitLinear(l, a, b, matrix, null);
}

/** Gemm with a weight; alpha and beta must be 1. */
export function liftGemm(l: Lifter): void {
  const { op } = l;
  const [a, b, c] = op.inputs as (ValueId | undefined)[];
  const { alpha = 1, beta = 1, transA = 0, transB = 0 } = op.attrs as Record<string, number>;
  const weight = b === undefined ? undefined : l.constant(b);
  if (weight === undefined || a === undefined) l.refuse('multiplies activations with each other');
  if (alpha !== 1 || transA !== 0 || (c !== undefined && beta !== 1))
    l.refuse(`has alpha ${alpha}, beta ${beta}, transA ${transA}; only 1, 1, 0 are supported`);
  emitLinear(l, a, b as ValueId, transB ? transposeConstant(weight, [1, 0]) : weight, c ?? null);
}

function emitLinear(l: Lifter, x: ValueId, weightId: ValueId, weight: Constant, bias: ValueId | null): void {
  const form = l.data(x);
  const plain = l.plain(form);
  const k = form.shape.at(-1) as number;
  const base = rowsAsTokens(l, plain, k);
  const [, n] = weight.shape;
  const shape = l.probe.shapeOf(l.op.outputs[0] as ValueId);
  const out = { ...base, features: n, dtype: l.dtypeOf(base) };
  const matrix = l.builder.constant(l.graph.names[weightId], weight);
  const made = l.emit('wafc.linear', [base.value, matrix], {}, out);
  if (bias !== null) {
    const producer = l.builder.producerOf(made.value);
    const plainOut: Plain = { base: made, index: formOf(made, shape).terms[0].index };
    const vector = featureVector(l, bias, plainOut, shape);
    if (producer) l.builder.replace(producer.index, { ...producer.op, inputs: [...producer.op.inputs, vector] });
  }
  l.setData(formOf(made, shape));
}

/** Rows of `k` elements must be the tokens in order; features in another order are brought into the row's. */
function rowsAsTokens(l: Lifter, { base, index }: Plain, k: number): Base {
  const rows = index.length / k;
  const { features } = base;
  if (rows !== base.batch * base.tokens) l.refuse(`multiplies rows of ${k} of ${features} features by one weight`);
  const perm = [...index.subarray(0, k)].map((i) => i % features);
  for (let row = 0; row < rows; row++) {
    for (let d = 0; d < k; d++) {
      if (index[row * k + d] !== row * features + perm[d]) l.refuse('multiplies rows that mix tokens');
    }
  }
  return l.permuted(base, perm);
}

/** RMS or layer norm over the last axis, which is all features or one of equal groups of them (heads). */
export function liftNorm(
  l: Lifter,
  kind: 'wafc.rmsnorm' | 'wafc.layernorm',
  vectors: readonly (ValueId | null)[],
  epsilon: number,
): void {
  const form = l.data(l.op.inputs[0] as ValueId);
  const { base, index } = l.plain(form);
  const k = form.shape.at(-1) as number;
  for (let i = 0; i < index.length; i++) {
    const first = index[i - (i % k)];
    if (first % k !== 0 || index[i] !== first + (i % k))
      l.refuse('normalises over elements that are not consecutive features of one token');
  }
  const gains = vectors.map((v) => {
    if (v === null) return null;
    const c = l.constant(v);
    const flat = c && reshapeConstant(c, [elementCount(c.shape)]);
    if (flat === undefined || flat.shape[0] !== k)
      l.refuse('has a gain or bias that is not a constant of one number a feature');
    return l.builder.constant(l.graph.names[v], flat);
  });
  while (gains.length > 0 && gains.at(-1) === null) gains.pop();
  const out = l.emitLike(base, kind, [base.value, ...gains], { epsilon, groups: base.features / k }, 1);
  l.setData(formOf(out, form.shape, index));
}
