/** Normalisations and rotations. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { MeshAxis, T } from '../../ir/program.ts';
import { features, X } from '../axes.ts';
import type { StageMapper } from '../stage-mapper.ts';

/** Statistics of the local features, one short all-reduce along the axis that cuts them, then a local scaling. */
export function mapNorm(m: StageMapper, op: Op): void {
  const [xId, gammaId, betaId] = op.inputs as (ValueId | undefined)[];
  const { epsilon, groups } = op.attrs as { epsilon: number; groups: number };
  const given = m.value(xId as ValueId);
  const x = groups === 1 ? given : wholeHeads(m, given, groups);
  const { shape } = m.tensors[x];
  const [tokens, width] = shape;
  const axes = m.axesOf(x);
  const rms = op.kind === 'wafc.rmsnorm';
  const local = groups > 1 || axes.length === 0;
  const groupAxes: readonly MeshAxis[] = groups > 1 ? axes : [];
  const partial = local ? null : { combine: rms ? ('sum' as const) : ('moments' as const), axes };
  const statShape = rms ? [tokens, groups] : [tokens, groups, 3];
  const dims = rms ? [[], groupAxes] : [[], groupAxes, []];
  const own = m.add(`${m.node}/stats`, 'temp', 'f32', statShape, { dims, partial });
  m.emit(rms ? { op: 'sum_squares', x, groups, out: own } : { op: 'moments', x, groups, out: own });
  const stats = m.reduced(own);
  const out = m.temp(x, shape, m.layoutOf(x));
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
  m.bind(op.outputs[0] as ValueId, out);
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
