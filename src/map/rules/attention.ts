/**
 * Attention: a group of columns holds whole heads, and each core of the group its share of positions. Scores need no
 * communication. Each core keeps (m, l, o) of its share, maximum, sum and weighted values; shares are merged exactly:
 *   m = max(m1, m2),  l = l1 e^(m1-m) + l2 e^(m2-m),  o = o1 e^(m1-m) + o2 e^(m2-m),
 * which is associative, so any order of merging gives softmax(q k) v = o / l. (Numerics: reassociates.)
 */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { Layout, MeshAxis, T } from '../../ir/program.ts';
import { KEY_SCALES, VALUE_SCALES } from '../../ops/wafc-attention.ts';
import { offersOf, type Want } from '../bring.ts';
import { axesText, byFeatures, type Cut, linesOf, sameCut, X } from '../cut.ts';
import type { Draft } from '../draft.ts';
import { allows } from '../rewrites.ts';
import type { Way } from '../way.ts';

const HEADS: readonly MeshAxis[] = ['xo'];

/** Who shares the positions of a head; position p is on core p mod (cores of these axes). */
const SHARES: readonly (readonly MeshAxis[])[] = [['y', 'xi'], ['y'], ['xi'], []];

/** A line along which shares are merged, and whether each core of it keeps only a part of the features. */
interface Merge {
  readonly axes: readonly MeshAxis[];
  readonly scatters: boolean;
}

export function attention(s: Draft, op: Op): Way[] {
  const { context } = s;
  const bias = op.inputs[6];
  if (bias !== null && bias !== undefined)
    context.refuse(op, 'has an additive bias, which is not placed yet', 'causal and padding masks are supported');
  if (op.attrs.cache === 'int4:kivi32')
    context.refuse(op, 'keeps keys and values as int4:kivi32, which is not placed yet', 'fp16 and int8 caches are');
  const { kvHeads } = op.attrs as Record<string, number>;
  if (kvHeads % context.shape.groups !== 0)
    throw new Error(`${kvHeads} KV heads in ${context.shape.groups} groups of columns`);
  const inputs = op.inputs.slice(0, 3) as ValueId[];
  const cut = cutHeads(s, op, inputs);
  const split: Way[] = cut === undefined ? [] : [splitWay(op, cut)];
  const offers = inputs.map((v) => offersOf(s, op, v));
  if (offers.some((cuts) => cuts.some(({ woven }) => woven !== undefined))) return split;
  const as: Cut = byFeatures(HEADS);
  const wants = inputs.map((v): Want => ({ v, as }));
  const whole = SHARES.flatMap((shares) =>
    mergesOf(shares, allows(context.options, 'merge-inside-first')).map((merges): Way => {
      const how = merges.map(({ axes, scatters }) => `${scatters ? 'scatter' : 'merge'} ${axesText(axes)}`);
      return {
        name: [`positions@${axesText(shares)}`, ...how].join(', '),
        wants,
        make: (d, [q, k, v]) => place(d, op, { q, k, v }, shares, merges),
      };
    }),
  );
  return [...whole, ...split];
}

/** Where queries, keys and values lie when heads are cut over the columns of their group, if that is where they can be had. */
function cutHeads(s: Draft, op: Op, inputs: readonly ValueId[]): Want[] | undefined {
  const { context } = s;
  if (!context.cutsHeads.has(op)) return undefined;
  const wants = inputs.map((v): Want & { readonly as: Cut } => {
    const woven = context.heads.get(v);
    return { v, as: { ...byFeatures(X), ...(woven && { woven }) } };
  });
  return wants.every(({ v, as }) => offersOf(s, op, v).some((offer) => sameCut(offer, as))) ? wants : undefined;
}

/** Positions over the rows, features of a head over the columns of its group: scores are summed there, outputs merged along the rows. */
const splitWay = (op: Op, wants: Want[]): Way => ({
  name: 'positions@y, heads cut, merge y',
  wants,
  make(d, [q, k, v]) {
    const { tensors, size, shape } = d.context;
    const { heads, kvHeads, scale, causal, window, softcap } = op.attrs as Record<string, number>;
    const shares: readonly MeshAxis[] = ['y'];
    const { keys, values, mask, keyScales, valueScales } = statesOf(d, op, { k, v }, shares);
    const [tokens] = tensors[q].shape;
    const owed: Layout['partial'] = { combine: 'sum', axes: ['xi'] };
    const partial = d.add(`${op.origin.node}/scores/partial`, 'f32', [size.context, heads * tokens], {
      dims: [shares, HEADS],
      partial: owed,
      cyclic: true,
    });
    d.emit({ op: 'scores', q, keys, ...(keyScales !== undefined && { keyScales }), heads, kvHeads, out: partial });
    const { name, layout } = tensors[partial];
    const scores = d.add(name.replace(/partial$/, 'reduced'), 'f32', tensors[partial].shape, {
      ...layout,
      partial: null,
    });
    d.collective('all_reduce', ['xi'], { combine: 'sum', dim: -1, inputs: [partial], outputs: [scores] });
    const width = (tensors[v].shape[1] / kvHeads) * heads;
    const woven = d.context.heads.get(op.outputs[0] as ValueId);
    const out = { ...byFeatures(X), ...(woven && { woven }) };
    const pair = (suffix: string, left: Layout['partial']): [T, T] => [
      d.add(`${op.origin.node}/stats${suffix}`, 'f32', [tokens, heads, 2], { dims: [[], HEADS, []], partial: left }),
      d.temp(q, [tokens, width], d.layout(out, left), suffix),
    ];
    const alone = shape.height === 1;
    const own = pair(alone ? '' : '/partial', alone ? null : { combine: 'softmax', axes: shares });
    const how = { heads, kvHeads, scale, causal: causal === 1, window, softcap };
    const scaled = valueScales === undefined ? {} : { valueScales };
    d.emit({ op: 'mix', scores, values, mask, ...scaled, ...how, stats: own[0], out: own[1] });
    const merged = alone ? own : pair('/merged', null);
    if (!alone) d.collective('all_reduce', shares, { combine: 'softmax', dim: -1, inputs: own, outputs: merged });
    finish(d, op, merged, { tokens, width, heads, cut: out });
  },
});

function finish(
  d: Draft,
  op: Op,
  [stats, o]: readonly [T, T],
  { tokens, width, heads, cut }: { tokens: number; width: number; heads: number; cut: Cut },
): void {
  const out = d.temp(o, [tokens, width], d.layout(cut));
  d.emit({ op: 'softmax_finish', o, stats, heads, out });
  d.bind(op.outputs[0] as ValueId, out);
}

/** Every order of the lines, each with and without leaving the features in parts. */
function mergesOf(shares: readonly MeshAxis[], insideFirst: boolean): Merge[][] {
  const lines = linesOf(shares);
  const orders = lines.length < 2 || !insideFirst ? [lines] : [lines, [...lines].reverse()];
  return orders.flatMap((order) => {
    let all: Merge[][] = [[]];
    for (const axes of order)
      all = all.flatMap((head) => [true, false].map((scatters) => [...head, { axes, scatters }]));
    return all;
  });
}

function place(
  s: Draft,
  op: Op,
  { q, k, v }: { q: T; k: T; v: T },
  shares: readonly MeshAxis[],
  merges: readonly Merge[],
): void {
  const { tensors } = s.context;
  const { heads, kvHeads, scale, causal, window, softcap } = op.attrs as Record<string, number>;
  const { node } = op.origin;
  const { keys, values, mask, ...scales } = statesOf(s, op, { k, v }, shares);
  const tokens = tensors[q].shape[0];
  const width = (tensors[v].shape[1] / kvHeads) * heads;
  let owed = shares;
  let features: readonly MeshAxis[] = HEADS;
  const pair = (suffix: string): [T, T] => {
    const partial = owed.length > 0 ? { combine: 'softmax' as const, axes: owed } : null;
    return [
      s.add(`${node}/stats${suffix}`, 'f32', [tokens, heads, 2], { dims: [[], HEADS, []], partial }),
      s.temp(q, [tokens, width], s.layout(byFeatures(features), partial), suffix),
    ];
  };
  let [stats, o] = pair('/partial');
  s.emit({
    op: 'attend',
    q,
    keys,
    values,
    mask,
    ...scales,
    heads,
    kvHeads,
    scale,
    causal: causal === 1,
    window,
    softcap,
    stats,
    out: o,
  });
  for (const { axes, scatters } of merges) {
    owed = owed.filter((axis) => !axes.includes(axis));
    if (scatters) features = features.concat(axes);
    const after = pair(owed.length === 0 ? '/merged' : `/merged-${axesText(axes)}`);
    s.collective(scatters ? 'reduce_scatter' : 'all_reduce', axes, {
      combine: 'softmax',
      dim: scatters ? 1 : -1,
      inputs: [stats, o],
      outputs: after,
    });
    [stats, o] = after;
  }
  finish(s, op, [stats, o], { tokens, width, heads, cut: byFeatures(features) });
}

/** Keys, values and mask that stay on the cores, with the step's own written into them. */
function statesOf(
  s: Draft,
  op: Op,
  { k, v }: { k: T; v: T },
  shares: readonly MeshAxis[],
): { keys: T; values: T; mask: T | null; keyScales?: T; valueScales?: T } {
  const { tensors, size } = s.context;
  const { kvHeads } = op.attrs as Record<string, number>;
  const { node } = op.origin;
  const [, , , pastKey, pastValue, maskId] = op.inputs;
  const keyScales = scalesOf(op.inputs[KEY_SCALES], k);
  const valueScales = scalesOf(op.inputs[VALUE_SCALES], v);
  const [presentKey, presentValue] = [op.outputs[1] ?? null, op.outputs[2] ?? null];
  const keys = cacheOf(k, shares, { past: pastKey ?? null, present: presentKey, what: 'keys', scales: keyScales });
  const values = cacheOf(v, shares, {
    past: pastValue ?? null,
    present: presentValue,
    what: 'values',
    scales: valueScales,
  });
  const mask = maskId === null || maskId === undefined ? null : maskState(maskId, shares);
  return {
    keys,
    values,
    mask,
    ...(keyScales !== undefined && { keyScales }),
    ...(valueScales !== undefined && { valueScales }),
  };

  /** Scales of an int8 cache, where its features are. */
  function scalesOf(value: ValueId | null | undefined, x: T): T | undefined {
    if (value === null || value === undefined) return undefined;
    return s.weight(op, value, [1, tensors[x].shape[1]], s.layout(s.cut(x)));
  }

  /** The resident state that `x` is appended to. */
  function cacheOf(
    x: T,
    axes: readonly MeshAxis[],
    {
      past,
      present,
      what,
      scales,
    }: { past: ValueId | null; present: ValueId | null; what: string; scales: T | undefined },
  ): T {
    const { shape, dtype } = tensors[x];
    const { features, woven } = s.cut(x);
    const layout = {
      dims: [axes, features],
      partial: null,
      cyclic: true as const,
      ...(woven && { woven: { dim: 1, ...woven } }),
    };
    const stored = op.attrs.cache === 'fp16' ? 'f16' : scales === undefined ? dtype : 'i8';
    const state = s.hold(
      s.context.sharedTensor(`${op.outputs[0]} ${what} ${axes} ${features}`, () => ({
        name: `${node}/${what}`,
        role: 'state',
        dtype: stored,
        shape: [size.context, shape[1]],
        layout,
      })),
    );
    const { inputs, outputs } = s.context.stage;
    const coded = scales === undefined ? {} : { scales };
    s.addCache({
      state,
      heads: kvHeads,
      width: shape[1] / kvHeads,
      ...coded,
      past: past === null ? -1 : inputs.indexOf(past),
      present: present === null ? -1 : outputs.indexOf(present),
    });
    s.emit({ op: 'append', x, state, ...coded });
    return state;
  }

  /** One byte a position beside the keys. */
  function maskState(v_: ValueId, axes: readonly MeshAxis[]): T {
    const x = s.context.maskInput(v_);
    const state = s.hold(
      s.context.sharedTensor(`${op.outputs[0]} mask ${axes}`, () => ({
        name: `${node}/mask`,
        role: 'state',
        dtype: 'u8',
        shape: [size.context],
        layout: { dims: [axes], partial: null, cyclic: true as const },
      })),
    );
    s.emit({ op: 'append', x, state });
    return state;
  }
}
