/**
 * Attention: a group of columns holds whole heads, and each core of the group its share of positions (position p on
 * core p mod (rows * columns of the group)). Scores need no communication; (m, l, o) of all shares are merged along y, then
 * inside the group, where each column keeps its part of the features.
 */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { Layout, MeshAxis, T } from '../../ir/program.ts';
import { features, X } from '../axes.ts';
import type { StageMapper } from '../stage-mapper.ts';
import { wholeHeads } from './norm.ts';

/** Positions are dealt over rows and the columns of a head group. */
const POSITIONS: readonly MeshAxis[] = ['y', 'xi'];

export function mapAttention(m: StageMapper, op: Op): void {
  const [qId, kId, vId, pastKey, pastValue, maskId, biasId] = op.inputs as (ValueId | null | undefined)[];
  const { heads, kvHeads, scale, causal, window, softcap } = op.attrs as Record<string, number>;
  if (biasId !== null && biasId !== undefined) {
    m.refuse('has an additive bias, which is not placed yet', 'causal and padding masks are supported');
  }
  if (kvHeads % m.shape.groups !== 0) throw new Error(`${kvHeads} KV heads in ${m.shape.groups} groups of columns`);
  const [q, k, v] = [
    [qId, heads],
    [kId, kvHeads],
    [vId, kvHeads],
  ].map(([id, n]) => wholeHeads(m, m.value(id as ValueId), n as number));
  const keys = cacheOf(m, k, kvHeads, pastKey ?? null, op.outputs[1] ?? null, 'keys');
  const values = cacheOf(m, v, kvHeads, pastValue ?? null, op.outputs[2] ?? null, 'values');
  const mask = maskId === null || maskId === undefined ? null : maskState(m, maskId);
  const [tokens, qWidth] = m.tensors[q].shape;
  const width = (m.tensors[v].shape[1] / kvHeads) * heads;
  const owed = (axes: readonly MeshAxis[], dims: Layout['dims']): Layout => ({
    dims,
    partial: axes.length > 0 ? { combine: 'softmax', axes } : null,
  });
  const head: readonly MeshAxis[] = ['xo'];
  const pair = (axes: readonly MeshAxis[], featureAxes: readonly MeshAxis[], suffix: string): [T, T] => [
    m.add(`${m.node}/stats${suffix}`, 'temp', 'f32', [tokens, heads, 2], owed(axes, [[], head, []])),
    m.temp(q, [tokens, width], owed(axes, [[], featureAxes]), suffix),
  ];
  const [stats, o] = pair(POSITIONS, head, '/partial');
  if (qWidth % heads !== 0) throw new Error(`${qWidth} query features in ${heads} heads`);
  m.emit({
    op: 'attend',
    q,
    keys,
    values,
    mask,
    heads,
    kvHeads,
    scale,
    causal: causal === 1,
    window,
    softcap,
    stats,
    out: o,
  });
  const [statsY, oY] = pair(['xi'], head, '/merged-y');
  m.emit({ op: 'all_reduce', axes: ['y'], combine: 'softmax', dim: -1, inputs: [stats, o], outputs: [statsY, oY] });
  const [statsX, oX] = pair([], X, '/merged');
  m.emit({
    op: 'reduce_scatter',
    axes: ['xi'],
    combine: 'softmax',
    dim: 1,
    inputs: [statsY, oY],
    outputs: [statsX, oX],
  });
  const out = m.temp(q, [tokens, width], features(X));
  m.emit({ op: 'softmax_finish', o: oX, stats: statsX, heads, out });
  m.bind(op.outputs[0] as ValueId, out);
}

/** The resident state that `x` is appended to. */
function cacheOf(m: StageMapper, x: T, heads: number, past: ValueId | null, present: ValueId | null, what: string): T {
  const { shape, dtype } = m.tensors[x];
  const state = m.add(`${m.node}/${what}`, 'state', dtype, [m.size.context, shape[1]], {
    dims: [POSITIONS, ['xo']],
    partial: null,
    cyclic: true,
  });
  m.caches.push({
    state,
    heads,
    width: shape[1] / heads,
    past: past === null ? -1 : m.stage.inputs.indexOf(past),
    present: present === null ? -1 : m.stage.outputs.indexOf(present),
  });
  m.emit({ op: 'append', x, state });
  return state;
}

/** One byte a position beside the keys. */
function maskState(m: StageMapper, maskId: ValueId): T {
  const x = m.maskInput(maskId);
  const state = m.add(`${m.node}/mask`, 'state', 'u8', [m.size.context], {
    dims: [POSITIONS],
    partial: null,
    cyclic: true,
  });
  m.emit({ op: 'append', x, state });
  return state;
}
