/**
 * What a mask means, from its values at probes: causal, windowed, all, times the padding of the attention mask
 * input; and what is added to scores besides (ALiBi, relative positions). That, and what fits none of these, is a bias that the host computes.
 */
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { DType } from '../ir/types.ts';
import { CODE_OF } from '../onnx/dtype-codes.ts';
import { broadcastShapes, broadcastNumbers } from '../ops/support/broadcast.ts';
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
export const FORBIDDEN = -9999;

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
  // Heads that share a mask are one row.
  const lead = broadcastNumbers(...masks.map((m) => far.tensor(m.value).shape.slice(0, -2)));
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

export function classifyMask(l: Lifter, scores: Scores): MaskKind {
  const { masks } = scores;
  const open: MaskKind = { causal: false, window: 0, keyMask: null, bias: null };
  if (masks.length === 0) return open;
  const own = biasesOf(l, masks);
  // Who may see whom is told apart from what is added besides; where it is nothing that is known, the host computes all of it.
  const seen = visibility(l, scores);
  if (seen === undefined) return { ...open, bias: hostBias(l, masks) };
  return { ...open, ...seen, bias: own.length > 0 ? hostBias(l, own) : null };
}

/** Additions that are more than zeros and forbidden entries: ALiBi, relative positions. */
const biasesOf = (l: Lifter, masks: readonly MaskStep[]): readonly MaskStep[] =>
  masks.filter((step) =>
    step.kind === 'add'
      ? l.probe.tensor(step.value).data.some((x) => x !== 0 && step.sign * x > FORBIDDEN)
      : step.fill > FORBIDDEN,
  );

/** What the forbidden entries of all masks together say; undefined where that is neither causal, a window, padding, nor nothing. */
function visibility(
  l: Lifter,
  { masks, rows, queries, keys }: Scores,
): Pick<MaskKind, 'causal' | 'window' | 'keyMask'> | undefined {
  const shape = masks[0].shape as readonly number[];
  const { past } = l.probe.size;
  const allowed = evaluate(l.probe, masks, shape).map((x) => (x > FORBIDDEN ? 1 : 0));
  const each = (test: (query: number, key: number) => boolean): boolean =>
    allowed.every((a, i) => (a === 1) === test(Math.floor(i / keys) % queries, i % keys));
  const reach = reachOf(l, { masks, queries, keys });
  const window = reach?.window ?? 0;
  const before = keys > queries || past > 0 ? keys - queries : 0;
  const causal = each((s, j) => j <= s + before && (window === 0 || j > s + before - window));
  const known = causal || each(() => true);
  if (!known || reach === null || (reach !== undefined && reach.causal !== causal)) return undefined;
  const found = { causal, window, keyMask: null };
  const maskInput = l.graph.inputs.find((v) => l.roles.get(l.graph.names[v])?.kind === 'mask');
  if (maskInput === undefined) return found;
  const padded = evaluate(l.probe.variant({ mask: padding }), masks, shape);
  if (padded.every((x, i) => x > FORBIDDEN === (allowed[i] === 1))) return found;
  const batches = l.probe.shapeOf(maskInput)[0];
  const perBatch = rows / batches;
  const follows = padded.every((x, i) => {
    const batch = Math.floor(i / (perBatch * queries * keys));
    return x > FORBIDDEN === (allowed[i] === 1 && padding(batch, i % keys) === 1);
  });
  return follows ? { ...found, keyMask: l.control(maskInput) } : undefined;
}

/** The sum of masks, as a value that the host computes. */
function hostBias(l: Lifter, masks: readonly MaskStep[]): ValueId {
  const node = l.op.origin.node;
  const made = (kind: string, version: number, inputs: readonly ValueId[], dtype: DType): ValueId => {
    const key = `${kind}:${inputs.join()}`;
    const known = l.rowCache.get(key);
    if (known !== undefined) return known;
    const shape = broadcastShapes(...inputs.map((v) => l.builder.typeOf(v).shape));
    if (shape === undefined) throw new Error(`masks of ${node} do not broadcast`);
    const [out] = l.builder.op({
      kind,
      version,
      inputs,
      attrs: kind === 'Cast' ? { to: CODE_OF[dtype] } : {},
      types: [{ dtype, shape }],
      names: [`${node}.mask`],
      origin: { node, by: ['lift-tokens'] },
    });
    l.rowCache.set(key, out);
    return out;
  };
  const values = masks.map((step) => {
    if (step.kind === 'add') return { value: l.control(step.value), sign: step.sign };
    if (step.fill > FORBIDDEN) l.refuse(`fills attention scores with ${step.fill}, which is neither a mask nor a bias`);
    const [zero, fill] = [0, Math.max(step.fill, LOWEST)].map((x) => fillOf(l, x));
    const [yes, no] = step.keepTrue ? [zero, fill] : [fill, zero];
    return { value: made('Where', 16, [l.control(step.value), yes, no], 'f32'), sign: 1 as const };
  });
  const { dtype } = l.builder.typeOf(values[0].value);
  const cast = values.map(({ value, sign }) => ({
    value: l.builder.typeOf(value).dtype === dtype ? value : made('Cast', 13, [value], dtype),
    sign,
  }));
  const [first, ...rest] = cast;
  const start = first.sign === 1 ? first.value : made('Neg', 13, [first.value], dtype);
  return rest.reduce((sum, { value, sign }) => made(sign === 1 ? 'Add' : 'Sub', 14, [sum, value], dtype), start);
}

function fillOf(l: Lifter, fill: number): ValueId {
  const key = `mask.fill:${fill}`;
  const known = l.rowCache.get(key) ?? l.smallConstant('mask.fill', 'f32', [], [fill]);
  l.rowCache.set(key, known);
  return known;
}

/** Of f32: a host bias stays finite, so that sums of several do not turn into NaN. */
const LOWEST = -3.4028234663852886e38;
