/** Normalisations and rotations. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { Layout, MeshAxis, T } from '../../ir/program.ts';
import { distinct, offersOf } from '../bring.ts';
import { byFeatures, type Cut, cutText, WHOLE } from '../cut.ts';
import { halvings } from '../deferred.ts';
import type { Draft } from '../draft.ts';
import { reduceAll } from '../reduce.ts';
import { allows } from '../rewrites.ts';
import type { Way } from '../way.ts';

/**
 * Statistics of the local features, one short all-reduce over the axes that cut them, then a local scaling; or, of an RMS
 * norm that products read, deferred: see deferred.ts. Norms of each head by itself: whole heads, no communication.
 */
export function norm(s: Draft, op: Op): Way[] {
  const x = op.inputs[0] as ValueId;
  const groups = op.attrs.groups as number;
  if (groups > 1) {
    const cut = headsCut(s, groups);
    return [{ name: `heads@${cutText(cut)}`, wants: [{ v: x, as: cut }], make: (d, [t]) => applied(d, op, t) }];
  }
  return distinct([...offersOf(s, op, x), WHOLE]).flatMap((cut): Way[] => {
    const wants = [{ v: x, as: cut }];
    const at: Way = { name: `statistics@${cutText(cut)}`, wants, make: (d, [t]) => applied(d, op, t) };
    if (!mayDefer(s, op) || cut.features.length === 0) return [at];
    return [{ name: `deferred@${cutText(cut)}`, wants, make: (d, [t]) => deferred(d, op, t) }, at];
  });
}

function mayDefer(s: Draft, op: Op): boolean {
  const { context } = s;
  const result = op.outputs[0] as ValueId;
  if (op.kind !== 'wafc.rmsnorm' || !allows(context.options, 'defer-rmsnorm')) return false;
  return context.readersOf(result).some((reader) => reader.kind === 'wafc.linear');
}

function deferred(s: Draft, op: Op, given: T): void {
  const { x, epsilon } = inRange(s, op, given);
  const gammaId = op.inputs[1] as ValueId | undefined;
  const cut = s.cut(x);
  const [tokens, width] = s.context.tensors[x].shape;
  let scaled = x;
  if (gammaId !== undefined) {
    const gain = s.weight(op, gammaId, [1, width], s.layout(byFeatures(cut.features)));
    scaled = s.temp(x, [tokens, width], s.layout(cut), '/gain');
    s.emit({ op: 'binary', fn: 'mul', a: x, b: gain, out: scaled });
  }
  const stats = statistics(s, op, x, []);
  s.defer(op.outputs[0] as ValueId, { op, x, scaled, stats, epsilon, paid: null });
}

/** What is multiplied and squared in place of `x`, and the epsilon that goes with it: deferred.ts says why. */
function inRange(s: Draft, op: Op, x: T): { readonly x: T; readonly epsilon: number } {
  const epsilon = typeof op.attrs.epsilon === 'number' ? op.attrs.epsilon : 1e-5;
  const { dtype, shape } = s.context.tensors[x];
  if (dtype !== 'f16') return { x, epsilon };
  const value = 2 ** -halvings(shape[1]);
  const small = s.temp(x, shape, s.layout(s.cut(x)), '/small');
  s.emit({ op: 'unary', fn: 'scale', x, value, out: small });
  return { x: small, epsilon: epsilon * value ** 2 };
}

function applied(s: Draft, op: Op, x: T): void {
  const { epsilon, groups } = op.attrs as { epsilon: number; groups: number };
  const [, gammaId, betaId] = op.inputs as (ValueId | undefined)[];
  const cut = s.cut(x);
  const { shape } = s.context.tensors[x];
  const own = statistics(s, op, x, groups > 1 ? cut.features : []);
  const [stats] = reduceAll(s, [own], s.context.tensors[own].layout.partial?.axes ?? [], -1);
  // A gain of one group is shared by all groups; every core holds it whole.
  const vector = (v: ValueId | undefined): T | null =>
    v === undefined
      ? null
      : s.weight(op, v, [1, shape[1] / groups], s.layout(byFeatures(groups > 1 ? [] : cut.features)));
  const gamma = vector(gammaId);
  const beta = vector(betaId);
  const out = s.temp(x, shape, s.layout(cut));
  s.emit(
    op.kind === 'wafc.rmsnorm'
      ? { op: 'rms_apply', x, sums: stats, gamma, groups, epsilon, out }
      : { op: 'layer_apply', x, moments: stats, gamma, beta, groups, epsilon, out },
  );
  s.bind(op.outputs[0] as ValueId, out);
}

/** Sum of squares, or (n, mean, M2), of the core's own features; owed over the axes that cut one norm. */
function statistics(s: Draft, op: Op, x: T, groupAxes: readonly MeshAxis[]): T {
  const groups = op.attrs.groups as number;
  const { tokens: tokenAxes, features } = s.cut(x);
  const [tokens] = s.context.tensors[x].shape;
  const rms = op.kind === 'wafc.rmsnorm';
  const partial: Layout['partial'] =
    groups > 1 || features.length === 0 ? null : { combine: rms ? 'sum' : 'moments', axes: features };
  const dims = rms ? [tokenAxes, groupAxes] : [tokenAxes, groupAxes, []];
  const own = s.add(`${op.origin.node}/stats`, 'f32', rms ? [tokens, groups] : [tokens, groups, 3], { dims, partial });
  s.emit(rms ? { op: 'sum_squares', x, groups, out: own } : { op: 'moments', x, groups, out: own });
  return own;
}

/** Heads lie whole in a group of columns where the groups divide them, else on every core. */
export const headsCut = (s: Draft, heads: number): Cut =>
  byFeatures(heads % s.context.shape.groups === 0 ? ['xo'] : []);

export function rope(s: Draft, op: Op): Way[] {
  const [xId, cosId, sinId] = op.inputs as ValueId[];
  const heads = op.attrs.heads as number;
  const [offered] = offersOf(s, op, xId);
  const cut = offered.woven === undefined ? headsCut(s, heads) : offered;
  return [
    {
      name: `heads@${cutText(cut)}`,
      wants: [
        { v: xId, as: cut },
        { v: cosId, as: WHOLE },
        { v: sinId, as: WHOLE },
      ],
      make(d, [x, cos, sin]) {
        const out = d.temp(x, d.context.tensors[x].shape, d.layout(d.cut(x)));
        d.emit({ op: 'rope', x, cos, sin, heads, interleaved: op.attrs.interleaved === 1, out });
        d.bind(op.outputs[0] as ValueId, out);
      },
    },
  ];
}
