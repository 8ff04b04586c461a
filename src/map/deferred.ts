/**
 * Deferred norms. 1/rms is one number a token, so it commutes with a product:
 *   ((x * r) * gamma) W = r * ((x * gamma) W),
 * and the sum of squares can travel in the product's own reduction. The sums then see unnormalised activations, which could
 * leave the range of f16. So f16 activations are halved h times first (exact but for what underflows): with x' = x 2^-h,
 *   r x = x' / sqrt(mean x'^2 + epsilon 4^-h),
 * the same norm of x' with a smaller epsilon. By Cauchy and Schwarz |x' W_n| <= 2^-h max|x| sqrt(K) |W_n|, so for h = 1 +
 * log2 sqrt(K), rounded up, no x that f16 can hold makes a sum that it cannot, for columns of gamma W no longer than 2.
 * Assumed: that they are not (trained ones are about 1). Longer ones only ask for smaller x. Squares are summed in f32.
 * (Numerics: reassociates.)
 */
import type { ValueId } from '../ir/ids.ts';
import type { T } from '../ir/program.ts';
import { byFeatures } from './cut.ts';
import type { DeferredNorm, Draft } from './draft.ts';

/** How often f16 activations of `features` are halved before they are multiplied unnormalised. */
export const halvings = (features: number): number => 1 + Math.ceil(Math.log2(features) / 2);

/** The norm itself, where its input lies: for readers that are no products. Its statistics are paid. */
export function normApplied(s: Draft, _v: ValueId, { op, x, epsilon, paid }: DeferredNorm): T {
  if (paid === null) throw new Error('a norm without statistics');
  const { shape } = s.context.tensors[x];
  const cut = s.cut(x);
  const out = s.temp(x, shape, s.layout(cut), '/normed');
  const gammaId = op.inputs[1];
  const gamma =
    gammaId === null || gammaId === undefined
      ? null
      : s.weight(op, gammaId, [1, shape[1]], s.layout(byFeatures(cut.features)));
  s.emit({ op: 'rms_apply', x, sums: paid, gamma, groups: 1, epsilon, out });
  return out;
}

/** Products that read the deferred norm, paid: scaled by it, all in one operation. */
export function finishNorms(s: Draft, { x, epsilon, paid }: DeferredNorm, inputs: readonly T[]): T[] {
  if (paid === null) throw new Error('a norm without statistics');
  const { tensors } = s.context;
  const outputs = inputs.map((t) => s.recut(t, s.cut(t), '/scaled'));
  s.emit({ op: 'rms_scale', inputs, sums: paid, features: tensors[x].shape[1], epsilon, outputs });
  return outputs;
}
