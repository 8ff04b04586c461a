/**
 * What a mask means, from its values at probes: causal, windowed, all, times the padding of the attention mask
 * input. What fits none of these stays a bias that the host computes.
 */
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { Scores } from './attention.ts';
import { broadcastIndex } from './form.ts';
import type { Lifter } from './lifter.ts';
import { atFar, type Probe } from './probe.ts';

export type MaskStep =
  | { readonly kind: 'add'; readonly value: ValueId; readonly sign: 1 | -1; readonly shape?: readonly number[] }
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
      if (step.kind === 'add') total[i] += step.sign * x;
      else if ((x !== 0) !== step.keepTrue) total[i] += step.fill;
    }
  }
  return total;
}

/** Entries of the attention mask that a padding probe leaves out; position 0 stays, so no row is empty. */
const padding = (batch: number, position: number): number =>
  position > 0 && (position * 7 + batch * 3) % 3 === 1 ? 0 : 1;

/** Lengths at which a mask is looked at again: a window that is longer than the probe shows only there. */
const FAR_PAST = [8190, 1022, 254, 62];
const FAR_TOKENS = [1100, 510, 126, 62];

/** Far from the probe: causal or all, and the window. Null is anything else, undefined where no mask reaches that far. */
type Reach = Pick<MaskKind, 'causal' | 'window'> | null | undefined;

/** By graph: layers share their masks, and so do the probes. */
const reaches = new WeakMap<Graph, Map<string, Reach>>();

function reachOf(l: Lifter, scores: Pick<Scores, 'masks' | 'queries' | 'keys'>): Reach {
  let known = reaches.get(l.graph);
  if (known === undefined) {
    known = new Map();
    reaches.set(l.graph, known);
  }
  const key = JSON.stringify(
    scores.masks.map((m) => [m.kind, m.value, m.shape?.slice(0, -2), 'fill' in m ? m.keepTrue : m.sign]),
  );
  if (!known.has(key)) {
    const lengths = l.probe.size.past > 0 ? FAR_PAST : FAR_TOKENS;
    known.set(
      key,
      atFar(l.probe, lengths, (far) => reachAt(far, scores)),
    );
  }
  return known.get(key);
}

/** Reads the rows of the first and the last query. */
function reachAt(far: Probe, { masks, queries, keys }: Pick<Scores, 'masks' | 'queries' | 'keys'>): Reach {
  const { sequence, past } = far.size;
  if (past > 0 && keys === queries) return undefined; // only the keys of this call
  const total = past + sequence;
  const lead = masks[0].shape?.slice(0, -2) ?? [];
  const [first, last] = [0, sequence - 1].map((query) => allowedAt(far, masks, [...lead, total], query));
  if (first === undefined || last === undefined) return undefined;
  const causal = first[total - 1] === 0;
  const oldest = last.indexOf(1);
  const window = oldest <= 0 ? 0 : total - oldest;
  const expected = (now: number, key: number): boolean =>
    (!causal || key <= now) && (window === 0 || (causal && key > now - window));
  const holds = [first, last].every((row, r) =>
    row.every((a, i) => (a === 1) === expected(past + (r === 0 ? 0 : sequence - 1), i % total)),
  );
  return holds ? { causal, window } : null;
}

/** Keys that one query may see, by row; undefined where a mask is cut from a table that ends before. */
function allowedAt(
  far: Probe,
  masks: readonly MaskStep[],
  shape: readonly number[],
  query: number,
): Uint8Array | undefined {
  const total = shape[shape.length - 1];
  const allowed = new Uint8Array(shape.reduce((a, b) => a * b, 1)).fill(1);
  for (const step of masks) {
    const value = far.tensor(step.value);
    const [q, k] = [value.shape.at(-2) ?? 1, value.shape.at(-1) ?? 1];
    if ((q !== 1 && q !== far.size.sequence) || (k !== 1 && k !== total)) return undefined;
    const start = q === 1 ? 0 : query * k;
    for (const [i, at] of broadcastIndex([...value.shape.slice(0, -2), k], shape).entries()) {
      const x = value.data[Math.floor(at / k) * q * k + start + (at % k)];
      if (step.kind === 'add' ? step.sign * x <= FORBIDDEN : (x !== 0) !== step.keepTrue) allowed[i] = 0;
    }
  }
  return allowed;
}

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
  const reach = reachOf(l, { masks, queries, keys });
  const window = reach?.window ?? 0;
  const before = keys > queries || past > 0 ? keys - queries : 0;
  const causal = each((s, j) => j <= s + before && (window === 0 || j > s + before - window));
  const known = causal || each(() => true);
  if (!known || reach === null || (reach !== undefined && reach.causal !== causal))
    return { ...open, bias: biasOf(l, masks) };
  const maskInput = l.graph.inputs.find((v) => l.roles.get(l.graph.names[v])?.kind === 'mask');
  if (maskInput === undefined) return { ...open, causal, window };
  const padded = evaluate(l.probe.variant({ mask: padding }), masks, shape);
  if (padded.every((x, i) => x > FORBIDDEN === (allowed[i] === 1))) return { ...open, causal, window };
  const batches = l.probe.shapeOf(maskInput)[0];
  const perBatch = rows / batches;
  const follows = padded.every((x, i) => {
    const batch = Math.floor(i / (perBatch * queries * keys));
    return x > FORBIDDEN === (allowed[i] === 1 && padding(batch, i % keys) === 1);
  });
  return follows ? { ...open, causal, window, keyMask: l.control(maskInput) } : { ...open, bias: biasOf(l, masks) };
}

/** The additive mask itself, as a host value; only for masks that are one addition. */
function biasOf(l: Lifter, masks: readonly MaskStep[]): ValueId {
  const [only] = masks;
  if (masks.length !== 1 || only.kind !== 'add' || only.sign !== 1)
    l.refuse('has a mask that is neither causal, padding, nor one additive bias');
  return l.control(only.value);
}
