/**
 * Attention: product of two activations, scaled, masked, softmaxed and multiplied with a third. Heads, groups of
 * heads and the cache are read off the element numbers; the mask is computed at the probe and classified.
 */
import type { Dim } from '../ir/dim.ts';
import { addDims } from '../ir/dim.ts';
import type { ValueId } from '../ir/ids.ts';
import { runOp } from '../exec/reference.ts';
import { allocate, tensor } from '../tensor/tensor.ts';
import { type Base, broadcastIndex, type Form, formOf, pick } from './form.ts';
import type { Lifted, Lifter } from './lifter.ts';
import { classifyMask, type MaskKind, type MaskStep } from './mask.ts';

/** One operand of a product: its base, element numbers as [rows, tokens, width], and a factor. */
export interface Operand {
  readonly base: Base;
  readonly index: Int32Array;
  readonly scale: number;
}

export interface Scores {
  readonly q: Operand;
  readonly k: Operand;
  /** Leading dims flattened, queries, keys, and the width of a head. */
  readonly rows: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
  readonly scale: number;
  readonly softcap: number;
  readonly masks: readonly MaskStep[];
}

type ScoreLike = Extract<Lifted, { scores: Scores }>;

function scoreInput(l: Lifter, input: number): ScoreLike {
  const known = l.lifted.get(l.op.inputs[input] as ValueId);
  if (known === undefined || !('scores' in known)) l.refuse('expects attention scores');
  return known;
}

const isInOrder = (at: Int32Array): boolean => at.every((v, i) => v === i);

/** [.., S, d] x [.., d, L]: scores, or probabilities x values. */
export function liftScores(l: Lifter, a: ValueId, b: ValueId): void {
  if (l.lifted.get(a)?.kind === 'probs') return liftValues(l, scoreInput(l, 0), b);
  const fa = l.data(a);
  const fb = l.data(b);
  const lead = l.probe.shapeOf(l.op.outputs[0] as ValueId).slice(0, -2);
  const [queries, width] = fa.shape.slice(-2);
  const keys = fb.shape.at(-1) as number;
  const q = operand(l, fa, [...lead, queries, width]);
  const k = operand(l, fb, [...lead, width, keys], true);
  const rows = lead.reduce((x, y) => x * y, 1);
  const shape = [...lead, queries, keys];
  const scores: Scores = { q, k, rows, queries, keys, width, scale: q.scale * k.scale, softcap: 0, masks: [] };
  l.set({ kind: 'scores', scores, at: Int32Array.from({ length: rows * queries * keys }, (_, i) => i), shape });
}

/** The operand's elements with rows broadcast to `shape`, keys transposed to [rows, keys, width]. */
export function operand(l: Lifter, form: Form, shape: readonly number[], transposed = false): Operand {
  const wide = pick(form, broadcastIndex(form.shape, shape), shape);
  const { base, index, scale } = l.scaledPlain(wide);
  if (!transposed) return { base, index, scale };
  const [rows, cols] = shape.slice(-2);
  const out = new Int32Array(index.length);
  for (let i = 0; i < index.length; i++) {
    const m = Math.floor(i / (rows * cols));
    const r = Math.floor(i / cols) % rows;
    out[m * rows * cols + (i % cols) * rows + r] = index[i];
  }
  return { base, index: out, scale };
}

export function scaleScores(l: Lifter, input: number, factor: number): void {
  const known = scoreInput(l, input);
  if (known.kind !== 'scores') l.refuse('scales attention probabilities');
  const { scores } = known;
  if (scores.masks.length > 0) l.refuse('scales scores after the mask');
  // After the tanh, the scale inside it was scale / cap: both grow by the factor.
  const softcap = scores.softcap * factor;
  l.set({ ...known, scores: { ...scores, scale: scores.scale * factor, softcap } });
}

/** c * tanh(scores / c): the tanh is noted here, the factor that follows it is the cap. */
export function capScores(l: Lifter): void {
  const known = scoreInput(l, 0);
  if (known.kind !== 'scores' || known.scores.softcap !== 0 || known.scores.masks.length > 0) {
    l.refuse('is applied to attention scores twice or after the mask');
  }
  l.set({ ...known, scores: { ...known.scores, softcap: 1 } });
}

export function maskScores(l: Lifter, input: number, step: MaskStep): void {
  const known = scoreInput(l, input);
  if (known.kind !== 'scores') l.refuse('masks attention probabilities');
  if (!isInOrder(known.at)) l.refuse('masks scores after they were moved about');
  const { scores } = known;
  l.set({ ...known, scores: { ...scores, masks: [...scores.masks, { ...step, shape: known.shape }] } });
}

/** Where(cond, scores, fill), Where(cond, fill, scores), and the guard against rows that are masked whole. */
export function whereScores(l: Lifter): boolean {
  const [cond, yes, no] = l.op.inputs as ValueId[];
  const isScore = (v: ValueId): boolean => {
    const kind = l.lifted.get(v)?.kind;
    return kind === 'scores' || kind === 'probs';
  };
  const guard = l.lifted.get(cond);
  const kept = isScore(yes) ? 1 : isScore(no) ? 2 : 0;
  if (kept === 0) return false;
  const known = scoreInput(l, kept);
  if (guard?.kind === 'nan') {
    l.set(known);
    return true;
  }
  const fill = l.scalar(kept === 1 ? no : yes);
  if (!l.isControl(cond) || fill === undefined) l.refuse('chooses between scores and activations');
  if (known.kind === 'probs') {
    if (fill !== 0) l.refuse('fills attention probabilities with a number that is not 0');
    l.set(known);
    return true;
  }
  maskScores(l, kept, { kind: 'where', value: cond, keepTrue: kept === 1, fill });
  return true;
}

export function nanOfScores(l: Lifter): void {
  l.set({ ...scoreInput(l, 0), kind: 'nan' });
}

export function softmaxScores(l: Lifter): void {
  const known = scoreInput(l, 0);
  const axis = typeof l.op.attrs.axis === 'number' ? l.op.attrs.axis : l.op.version >= 13 ? -1 : 1;
  if (axis !== -1 && axis !== known.shape.length - 1)
    l.refuse(`runs over axis ${axis} of the scores; the keys are the last`);
  if (known.kind !== 'scores' || !isInOrder(known.at)) l.refuse('runs over scores that were moved about');
  l.set({ ...known, kind: 'probs' });
}

/** Views of scores: element numbers move as in any view. */
export function viewScores(l: Lifter): void {
  const known = scoreInput(l, 0);
  const numbers = allocate('f64', known.at.length);
  for (const [i, v] of known.at.entries()) numbers[i] = v;
  const rest = l.op.inputs.slice(1).map((v) => (v === null ? undefined : l.probe.tensor(v)));
  const [moved] = runOp(l.op, [tensor('f64', known.shape, numbers), ...rest]);
  l.set({ ...known, at: Int32Array.from(moved.data), shape: moved.shape });
}

/** probabilities [rows, S, L] x values [rows, L, e]. */
function liftValues(l: Lifter, probs: ScoreLike, b: ValueId): void {
  if (!isInOrder(probs.at)) l.refuse('multiplies probabilities that were moved about with values');
  const form = l.data(b);
  const shape = l.probe.shapeOf(l.op.outputs[0] as ValueId);
  const width = shape.at(-1) as number;
  const { keys, masks, rows } = probs.scores;
  // A softmax over one key is 1 whatever the score: sequences whose batch stands where tokens should be.
  if (keys === 1 && masks.length === 0 && l.graph.types[l.op.inputs[0] as ValueId].shape.at(-1) === 1) {
    const one = pick(form, broadcastIndex(form.shape, [...shape.slice(0, -2), 1, width]), [rows, 1, width]);
    return l.setData(pick(one, broadcastIndex([rows, 1, width], [rows, probs.scores.queries, width]), shape));
  }
  const v = operand(l, form, [...shape.slice(0, -2), probs.scores.keys, width]);
  const mask = classifyMask(l, probs.scores);
  l.setData(emitAttention(l, { ...probs.scores, v, valueWidth: width, mask, shape }));
}

export interface AttentionParts extends Scores {
  readonly v: Operand;
  readonly valueWidth: number;
  readonly mask: MaskKind;
  /** Of the result at the probe: [.., S, valueWidth] with rows as in q. */
  readonly shape: readonly number[];
}

/** Emits wafc.attention; the result's elements by (row, query, width). */
export function emitAttention(l: Lifter, parts: AttentionParts): Form {
  const { rows, queries, keys, width, valueWidth, mask } = parts;
  const q = inHeads(l, parts.q, rows, queries, width);
  const k = inHeads(l, parts.k, rows, keys, width);
  const v = inHeads(l, parts.v, rows, keys, valueWidth);
  const qHeads = headsOf(l, q, rows, queries, width, 'queries');
  const kHeads = headsOf(l, k, rows, keys, width, 'keys');
  const vHeads = headsOf(l, v, rows, keys, valueWidth, 'values');
  const heads = q.base.features / width;
  const kvHeads = k.base.features / width;
  if (v.base.features / valueWidth !== kvHeads || heads % kvHeads !== 0)
    l.refuse(`has ${heads} query heads for ${kvHeads} key heads and ${v.base.features / valueWidth} value heads`);
  for (let r = 0; r < rows; r++) {
    const group = Math.floor((qHeads[r].head * kvHeads) / heads);
    if (kHeads[r].head !== group || vHeads[r].head !== group)
      l.refuse('assigns query heads to key heads in an unusual order');
    if (kHeads[r].batch !== qHeads[r].batch || vHeads[r].batch !== qHeads[r].batch)
      l.refuse('mixes sequences of a batch');
  }
  if (k.base.kind !== v.base.kind || k.base.kind === 'past')
    l.refuse('has keys and values of which only one is cached');
  const hasPast = k.base.kind === 'cache';
  const attrs = {
    heads,
    kvHeads,
    scale: snapped(parts.scale, width),
    causal: mask.causal ? 1 : 0,
    window: mask.window,
    softcap: parts.softcap,
  };
  const inputs = [
    q.base.value,
    k.base.value,
    v.base.value,
    hasPast ? (k.base.past as ValueId) : null,
    hasPast ? (v.base.past as ValueId) : null,
    mask.keyMask,
    mask.bias,
  ];
  while (inputs.at(-1) === null) inputs.pop();
  const { batch, tokens, tokenDim } = q.base;
  const dtype = l.dtypeOf(q.base);
  const node = l.op.origin.node;
  const present = (features: number): { dtype: typeof dtype; shape: Dim[] } => ({
    dtype,
    shape: [batch, kvHeads, addDims(pastDim(l, k.base), tokenDim), features],
  });
  const types = [
    { dtype, shape: [batch, tokenDim, heads * valueWidth] },
    ...(hasPast ? [present(width), present(valueWidth)] : []),
  ];
  const [out, keyOut, valueOut] = l.builder.op({
    kind: 'wafc.attention',
    inputs,
    attrs,
    types,
    names: [node, `${node}.key`, `${node}.value`],
    origin: { node, by: ['lift-tokens'] },
  });
  if (hasPast) {
    l.presents.set(k.base.past as ValueId, keyOut);
    l.presents.set(v.base.past as ValueId, valueOut);
  }
  const base: Base = { kind: 'value', value: out, batch, tokens, tokenDim, features: heads * valueWidth };
  const index = new Int32Array(rows * queries * valueWidth);
  let at = 0;
  for (let r = 0; r < rows; r++)
    for (let s = 0; s < queries; s++)
      for (let e = 0; e < valueWidth; e++)
        index[at++] = (qHeads[r].batch * tokens + s) * base.features + qHeads[r].head * valueWidth + e;
  return formOf(base, parts.shape, index);
}

const pastDim = (l: Lifter, base: Base): Dim => (base.past === undefined ? 0 : l.builder.typeOf(base.past).shape[2]);

/** Exporters spell 1/sqrt(d) as products of f32 roots; what is within their rounding of it is it. */
function snapped(scale: number, width: number): number {
  const usual = 1 / Math.sqrt(width);
  return Math.abs(scale - usual) <= 1e-6 * usual ? usual : scale;
}

/** The operand with the features of each head side by side, in the order in which rows name the heads. */
function inHeads(l: Lifter, { base, index, scale }: Operand, rows: number, tokens: number, width: number): Operand {
  const order: number[] = [];
  const seen = new Set<number>();
  for (let r = 0; r < rows; r++) {
    const features = [...index.subarray(r * tokens * width, r * tokens * width + width)].map((i) => i % base.features);
    if (seen.has(features[0])) continue;
    seen.add(features[0]);
    order.push(...features);
  }
  const isPermutation = order.length === base.features && new Set(order).size === order.length;
  if (base.kind !== 'value' || !isPermutation || order.every((f, i) => f === i)) return { base, index, scale };
  const rank = new Int32Array(base.features);
  for (const [i, f] of order.entries()) rank[f] = i;
  const moved = index.map((i) => i - (i % base.features) + rank[i % base.features]);
  return { base: l.permuted(base, order), index: moved, scale };
}

/** Every row must be one head of one sequence, tokens in order. */
function headsOf(
  l: Lifter,
  { base, index }: Operand,
  rows: number,
  tokens: number,
  width: number,
  what: string,
): { batch: number; head: number }[] {
  if (tokens !== base.tokens) l.refuse(`reads ${tokens} of ${base.tokens} tokens as ${what}`);
  return Array.from({ length: rows }, (_, r) => {
    const first = index[r * tokens * width];
    const batch = Math.floor(first / (base.tokens * base.features));
    const feature = first % base.features;
    for (let t = 0; t < tokens; t++) {
      for (let d = 0; d < width; d++) {
        if (index[(r * tokens + t) * width + d] !== (batch * base.tokens + t) * base.features + feature + d) {
          l.refuse(`reads ${what} in an order that is not heads of ${width} consecutive features`);
        }
      }
    }
    if (feature % width !== 0) l.refuse(`reads ${what} that start inside a head`);
    return { batch, head: feature / width };
  });
}
