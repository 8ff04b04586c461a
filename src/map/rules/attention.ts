/**
 * Attention: a group of columns holds whole heads, and each core of the group its share of positions. Scores need no
 * communication. Each core keeps (m, l, o) of its share, maximum, sum and weighted values; shares are merged exactly:
 *   m = max(m1, m2),  l = l1 e^(m1-m) + l2 e^(m2-m),  o = o1 e^(m1-m) + o2 e^(m2-m),
 * which is associative, so any order of merging gives softmax(q k) v = o / l. (Numerics: reassociates.)
 */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { MeshAxis, T } from '../../ir/program.ts';
import { KEY_SCALES, VALUE_SCALES } from '../../ops/wafc-attention.ts';
import type { Want } from '../bring.ts';
import { axesText, byFeatures, type Cut, linesOf } from '../cut.ts';
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
  const as: Cut = byFeatures(HEADS);
  const wants = op.inputs.slice(0, 3).map((v): Want => ({ v: v as ValueId, as }));
  return SHARES.flatMap((shares) =>
    mergesOf(shares, allows(context.options, 'merge-inside-first')).map((merges): Way => {
      const how = merges.map(({ axes, scatters }) => `${scatters ? 'scatter' : 'merge'} ${axesText(axes)}`);
      return {
        name: [`positions@${axesText(shares)}`, ...how].join(', '),
        wants,
        make: (d, [q, k, v]) => place(d, op, { q, k, v }, shares, merges),
      };
    }),
  );
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
  const { tensors, size } = s.context;
  const { heads, kvHeads, scale, causal, window, softcap } = op.attrs as Record<string, number>;
  const { node } = op.origin;
  const [, , , pastKey, pastValue, maskId] = op.inputs;
  const keyScales = scalesOf(op.inputs[KEY_SCALES], tensors[k].shape[1]);
  const valueScales = scalesOf(op.inputs[VALUE_SCALES], tensors[v].shape[1]);
  const [presentKey, presentValue] = [op.outputs[1] ?? null, op.outputs[2] ?? null];
  const keys = cacheOf(k, shares, { past: pastKey ?? null, present: presentKey, what: 'keys', scales: keyScales });
  const values = cacheOf(v, shares, {
    past: pastValue ?? null,
    present: presentValue,
    what: 'values',
    scales: valueScales,
  });
  const mask = maskId === null || maskId === undefined ? null : maskState(maskId, shares);
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
    ...(keyScales === undefined ? {} : { keyScales }),
    ...(valueScales === undefined ? {} : { valueScales }),
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
  const out = s.temp(q, [tokens, width], s.layout(byFeatures(features)));
  s.emit({ op: 'softmax_finish', o, stats, heads, out });
  s.bind(op.outputs[0] as ValueId, out);

  /** Scales of an int8 cache, where its features are. */
  function scalesOf(value: ValueId | null | undefined, columns: number): T | undefined {
    if (value === null || value === undefined) return undefined;
    return s.weight(op, value, [1, columns], { dims: [[], HEADS], partial: null });
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
    const layout = { dims: [axes, HEADS], partial: null, cyclic: true as const };
    const stored = op.attrs.cache === 'fp16' ? 'f16' : scales === undefined ? dtype : 'i8';
    const state = s.hold(
      s.context.sharedTensor(`${op.outputs[0]} ${what} ${axes}`, () => ({
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
