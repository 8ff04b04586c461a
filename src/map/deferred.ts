/**
 * Deferred norms. 1/rms is one number a token, so it commutes with a product:
 *   ((x * r) * gamma) W = r * ((x * gamma) W),
 * and the sum of squares can travel in the product's own reduction. The sums then see unnormalised activations: of f16
 * they are kept in f32, whose range covers them, where the target adds in f32; where it does not, the norm is not deferred.
 */
import type { ValueId } from '../ir/ids.ts';
import type { T } from '../ir/program.ts';
import { byFeatures } from './cut.ts';
import type { DeferredNorm, Draft } from './draft.ts';

/** The norm itself, where its input lies: for readers that are no products. Its statistics are paid. */
export function normApplied(s: Draft, _v: ValueId, { op, x, paid }: DeferredNorm): T {
  if (paid === null) throw new Error('a norm without statistics');
  const { shape } = s.context.tensors[x];
  const cut = s.cut(x);
  const out = s.temp(x, shape, s.layout(cut), '/normed');
  const gammaId = op.inputs[1];
  const gamma =
    gammaId === null || gammaId === undefined
      ? null
      : s.weight(op, gammaId, [1, shape[1]], s.layout(byFeatures(cut.features)));
  s.emit({ op: 'rms_apply', x, sums: paid, gamma, groups: 1, epsilon: epsilonOf(op.attrs.epsilon), out });
  return out;
}

/** Products that read the deferred norm, paid: scaled by it, all in one operation. */
export function finishNorms(s: Draft, { op, x, paid }: DeferredNorm, inputs: readonly T[]): T[] {
  if (paid === null) throw new Error('a norm without statistics');
  const { tensors } = s.context;
  const outputs = inputs.map((t) => s.recut(t, s.cut(t), '/scaled'));
  const epsilon = epsilonOf(op.attrs.epsilon);
  s.emit({ op: 'rms_scale', inputs, sums: paid, features: tensors[x].shape[1], epsilon, outputs });
  return outputs;
}

const epsilonOf = (value: unknown): number => (typeof value === 'number' ? value : 1e-5);
