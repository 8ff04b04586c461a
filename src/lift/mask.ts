/**
 * What a mask means, from its values at probes: causal, windowed, all, times the padding of the attention mask
 * input. What fits none of these stays a bias that the host computes.
 */
import type { ValueId } from '../ir/ids.ts';
import type { Scores } from './attention.ts';
import { broadcastIndex } from './form.ts';
import type { Lifter } from './lifter.ts';
import type { Probe } from './probe.ts';

export type MaskStep =
  | { readonly kind: 'add'; readonly value: ValueId; readonly shape?: readonly number[] }
  | {
      readonly kind: 'where';
      readonly value: ValueId;
      readonly keepTrue: boolean;
      readonly fill: number;
      readonly shape?: readonly number[];
    };

export interface MaskKind {
  readonly causal: boolean;
  /** A query at position t sees positions > t - window; 0 = all. */
  readonly window: number;
  /** In the lifted graph: [B, P+S], 0 = not attended. */
  readonly keyMask: ValueId | null;
  readonly bias: ValueId | null;
}

/** Additive masks at or below this forbid a position; exporters write -10000, the lowest float or -inf. */
const FORBIDDEN = -9999;

/** Sum of all mask steps at a probe, as [rows, queries, keys]. */
function evaluate(probe: Probe, masks: readonly MaskStep[], shape: readonly number[]): Float64Array {
  const total = new Float64Array(shape.reduce((a, b) => a * b, 1));
  for (const step of masks) {
    const value = probe.tensor(step.value);
    const from = broadcastIndex(value.shape, shape);
    for (let i = 0; i < total.length; i++) {
      const x = value.data[from[i]];
      if (step.kind === 'add') total[i] += x;
      else if ((x !== 0) !== step.keepTrue) total[i] += step.fill;
    }
  }
  return total;
}

/** Entries of the attention mask that a padding probe leaves out; position 0 stays, so no row is empty. */
const padding = (batch: number, position: number): number =>
  position > 0 && (position * 7 + batch * 3) % 3 === 1 ? 0 : 1;

export function classifyMask(l: Lifter, { masks, rows, queries, keys }: Scores): MaskKind {
  const open: MaskKind = { causal: false, window: 0, keyMask: null, bias: null };
  if (masks.length === 0) return open;
  const shape = masks[0].shape as readonly number[];
  const { past } = l.probe.size;
  const plain = evaluate(l.probe, masks, shape);
  const allowed = plain.map((x) => (x > FORBIDDEN ? 1 : 0));
  if (plain.some((x) => x > FORBIDDEN && x !== 0)) return { ...open, bias: biasOf(l, masks) };
  const each = (test: (query: number, key: number) => boolean): boolean =>
    allowed.every((a, i) => (a === 1) === test(Math.floor(i / keys) % queries, i % keys));
  const cached = keys > queries || past > 0;
  const causal = each((s, j) => j <= s + (cached ? keys - queries : 0));
  if (!causal && !each(() => true)) return { ...open, bias: biasOf(l, masks) };
  const maskInput = l.graph.inputs.find((v) => l.roles.get(l.graph.names[v])?.kind === 'mask');
  if (maskInput === undefined) return { ...open, causal };
  const padded = evaluate(l.probe.variant({ mask: padding }), masks, shape);
  if (padded.every((x, i) => x > FORBIDDEN === (allowed[i] === 1))) return { ...open, causal };
  const batches = l.probe.shapeOf(maskInput)[0];
  const perBatch = rows / batches;
  const follows = padded.every((x, i) => {
    const batch = Math.floor(i / (perBatch * queries * keys));
    return x > FORBIDDEN === (allowed[i] === 1 && padding(batch, i % keys) === 1);
  });
  return follows ? { ...open, causal, keyMask: l.control(maskInput) } : { ...open, bias: biasOf(l, masks) };
}

/** The additive mask itself, as a host value; only for masks that are one addition. */
function biasOf(l: Lifter, masks: readonly MaskStep[]): ValueId {
  const [only] = masks;
  if (masks.length !== 1 || only.kind !== 'add')
    l.refuse('has a mask that is neither causal, padding, nor one additive bias');
  return l.control(only.value);
}
