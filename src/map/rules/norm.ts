/** Normalisations and rotations. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { Layout, MeshAxis, T } from '../../ir/program.ts';
import { features, X } from '../axes.ts';
import type { StageMapper } from '../stage-mapper.ts';

/**
 * Statistics of the local features, one short all-reduce along the axis that cuts them, then a local scaling. An RMS norm
 * that linear layers read is deferred: 1/rms is one number a token, so it commutes with the product,
 *   ((x * r) * gamma) W = r * ((x * gamma) W),
 * and the sum of squares travels in the product's own reduction. The sums then see unnormalised activations; they are
 * held in f32, whose range covers them. (Numerics: reassociates.)
 */
export function mapNorm(m: StageMapper, op: Op): void {
  const [xId, gammaId, betaId] = op.inputs as (ValueId | undefined)[];
  const { epsilon, groups } = op.attrs as { epsilon: number; groups: number };
  const given = m.value(xId as ValueId);
  const x = groups === 1 ? given : wholeHeads(m, given, groups);
  const result = op.outputs[0] as ValueId;
  const axes = m.axesOf(x);
  if (op.kind === 'wafc.rmsnorm' && groups === 1 && axes.length > 0 && m.options.deferNorms) {
    const scaled = gammaId === undefined ? x : timesGain(m, x, gammaId);
    const own = statistics(m, x, true, groups, [], { combine: 'sum', axes });
    m.defer(result, { scaled, sums: own, features: m.tensors[x].shape[1], epsilon });
    return;
  }
  const rms = op.kind === 'wafc.rmsnorm';
  const local = groups > 1 || axes.length === 0;
  const partial = local ? null : { combine: rms ? ('sum' as const) : ('moments' as const), axes };
  const stats = m.reduced(statistics(m, x, rms, groups, groups > 1 ? axes : [], partial));
  const [, width] = m.tensors[x].shape;
  const out = m.temp(x, m.tensors[x].shape, m.layoutOf(x));
  // A gain of one group is shared by all groups; every core holds it whole.
  const vector = (v: ValueId | undefined): T | null =>
    v === undefined ? null : m.weight(v, [1, width / groups], features(groups > 1 ? [] : axes));
  const gamma = vector(gammaId);
  const beta = vector(betaId);
  m.emit(
    rms
      ? { op: 'rms_apply', x, sums: stats, gamma, groups, epsilon, out }
      : { op: 'layer_apply', x, moments: stats, gamma, beta, groups, epsilon, out },
  );
  m.bind(result, out);
}

/** Sum of squares, or (n, mean, M2), of the core's own features. */
function statistics(
  m: StageMapper,
  x: T,
  rms: boolean,
  groups: number,
  groupAxes: readonly MeshAxis[],
  partial: Layout['partial'],
): T {
  const [tokens] = m.tensors[x].shape;
  const shape = rms ? [tokens, groups] : [tokens, groups, 3];
  const own = m.add(`${m.node}/stats`, 'temp', 'f32', shape, {
    dims: rms ? [[], groupAxes] : [[], groupAxes, []],
    partial,
  });
  m.emit(rms ? { op: 'sum_squares', x, groups, out: own } : { op: 'moments', x, groups, out: own });
  return own;
}

function timesGain(m: StageMapper, x: T, gammaId: ValueId): T {
  const gain = m.weight(gammaId, [1, m.tensors[x].shape[1]], features(m.axesOf(x)));
  const out = m.temp(x, m.tensors[x].shape, m.layoutOf(x), '/gain');
  m.emit({ op: 'binary', fn: 'mul', a: x, b: gain, out });
  return out;
}

/** Heads lie whole in a group of columns where the groups divide them, else on every core. */
export function wholeHeads(m: StageMapper, x: T, heads: number): T {
  return m.relaid(x, heads % m.shape.groups === 0 ? X.slice(0, 1) : []);
}

export function mapRope(m: StageMapper, op: Op): void {
  const [xId, cosId, sinId] = op.inputs as ValueId[];
  const heads = op.attrs.heads as number;
  const x = wholeHeads(m, m.value(xId), heads);
  const out = m.temp(x, m.tensors[x].shape, m.layoutOf(x));
  m.emit({
    op: 'rope',
    x,
    cos: m.value(cosId),
    sin: m.value(sinId),
    heads,
    interleaved: op.attrs.interleaved === 1,
    out,
  });
  m.bind(op.outputs[0] as ValueId, out);
}
