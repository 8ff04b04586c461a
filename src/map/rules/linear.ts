/** Matrix products and embeddings: each axis of the region cuts K, or N, or holds replicas. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { MeshAxis, T } from '../../ir/program.ts';
import { offersOf } from '../bring.ts';
import { axesText, byFeatures, sameAxes, X, Y, YX } from '../cut.ts';
import type { Draft, Finish } from '../draft.ts';
import type { StageContext } from '../stage-context.ts';
import type { Way } from '../way.ts';

type Axes = readonly MeshAxis[];
const XO: Axes = ['xo'];

/** Which axes cut K, and which N, with rows of cores outermost, as tiles stand in weights.bin. What is cut by neither holds replicas of the weight, which cost SRAM. */
const GRIDS: readonly (readonly [Axes, Axes])[] = [
  [Y, X],
  [X, Y],
  [[], X],
  [[], Y],
  [[], YX],
  [X, []],
  [Y, []],
  [YX, []],
  [[], []],
];
/** More where columns come in groups: a cut by groups only. */
const GROUPED: readonly (readonly [Axes, Axes])[] = [
  [Y, XO],
  [XO, Y],
];

const gridsOf = (s: Draft): readonly (readonly [Axes, Axes])[] =>
  s.context.shape.groups > 1 ? [...GRIDS, ...GROUPED] : GRIDS;

/** Rows by K, columns by N with the heads of an attention cut: what it makes of queries and keys is woven (rules/heads.ts). */
const SPLIT = 'K@y N@x split';

const gridName = (k: string, n: string, [kAxes, nAxes]: readonly [Axes, Axes]): string =>
  `${k}@${axesText(kAxes)} ${n}@${axesText(nAxes)}`;

/** x cut as K, the result as N; a sum over K's axes is owed. Products of one activation are cut alike. */
export function linear(s: Draft, op: Op): Way[] {
  const [xId, weightId, biasId] = op.inputs as ValueId[];
  const [k, n] = s.context.graph.types[weightId].shape as number[];
  const given = s.gridOf(xId);
  const { heads, goesToHeads } = s.context;
  const result = op.outputs[0] as ValueId;
  // Woven features are read as they lie.
  const lanes = offersOf(s, op, xId).find(({ woven }) => woven !== undefined)?.woven;
  const grids = gridsOf(s).map((grid) => ({ grid, name: gridName('K', 'N', grid) }));
  if (goesToHeads.has(xId)) grids.push({ grid: [Y, X], name: SPLIT });
  return grids.flatMap(({ grid: [kAxes, nAxes], name }): Way[] => {
    if (given !== undefined && given !== name) return [];
    if (lanes !== undefined && !sameAxes(kAxes, X)) return [];
    const columns = name === SPLIT ? heads.get(result) : undefined;
    const order = lanes !== undefined ? { woven: { dim: 0, ...lanes } } : columns && { woven: { dim: 1, ...columns } };
    const way: Way = {
      name,
      wants: [{ v: xId, as: { ...byFeatures(kAxes), ...(lanes && { woven: lanes }) }, unnormed: true }],
      make(d, [x]) {
        const weight = d.weight(op, weightId, [k, n], { dims: [kAxes, nAxes], partial: null, ...order });
        const [tokens] = d.context.tensors[x].shape;
        const partial = kAxes.length === 0 ? null : { combine: 'sum' as const, axes: kAxes };
        const finish: Finish[] = [];
        if (d.deferred(xId) !== undefined) finish.push({ kind: 'norm', norm: xId });
        if (biasId !== undefined) finish.push({ kind: 'bias', op, weight: biasId });
        const cut = { ...byFeatures(nAxes), ...(columns && { woven: columns }) };
        const out = d.temp(x, [tokens, n], d.layout(cut, partial), partial === null ? '' : '/partial');
        d.product(x, weight, out);
        if (partial === null && finish.length === 0) d.bind(result, out);
        else d.owe(result, out, finish);
        d.useGrid(xId, name);
      },
    };
    return [way];
  });
}

/** The least that the product itself takes, over all grids: with all axes at work. */
export function productFloor(context: StageContext, op: Op): number {
  const [xId, weightId] = op.inputs as ValueId[];
  const { dtype } = context.graph.types[xId];
  const shape = context.graph.types[weightId].shape as number[];
  const tokens = context.graph.types[xId].shape[1] === 1 ? 1 : context.size.tokens;
  const stored = context.graph.constants.get(weightId)?.stored ?? dtype;
  const costs = GRIDS.map(([kAxes, nAxes]) => {
    const temp = (t: number[], axes: Axes, name: string): T =>
      context.sharedTensor(`floor ${name} ${op.outputs[0]} ${kAxes}/${nAxes}`, () => ({
        name,
        role: 'temp',
        dtype,
        shape: t,
        layout: { dims: [[], axes], partial: null },
      }));
    const weight = context.sharedTensor(`floor w ${op.outputs[0]} ${kAxes}/${nAxes}`, () => ({
      name: 'w',
      role: 'weight',
      dtype: stored,
      shape,
      layout: { dims: [kAxes, nAxes], partial: null },
    }));
    const [x, out] = [temp([tokens, shape[0]], kAxes, 'x'), temp([tokens, shape[1]], nAxes, 'out')];
    const of = (times: number): number => {
      const list = <V>(one: V): V[] => Array.from({ length: times }, () => one);
      return context.price({ op: 'gemv', x, weights: list(weight), outputs: list(out), node: '' }).cycles;
    };
    // It may join another one.
    return of(2) - of(1);
  });
  return Math.min(...costs);
}

/** Rows of the table as K, features as N: who owns the row gives it, the sum spreads it. */
export function embedding(s: Draft, op: Op): Way[] {
  const [tableId, indexId] = op.inputs as ValueId[];
  const { graph, size } = s.context;
  const [rows, width] = graph.types[tableId].shape as number[];
  const { dtype } = graph.types[op.outputs[0] as ValueId];
  return gridsOf(s).map((grid): Way => {
    const [rowAxes, featureAxes] = grid;
    return {
      name: gridName('rows', 'features', grid),
      wants: [{ v: indexId, as: 'owed' }],
      make(d, [index]) {
        const table = d.weight(op, tableId, [rows, width], { dims: [rowAxes, featureAxes], partial: null });
        const partial = rowAxes.length === 0 ? null : { combine: 'sum' as const, axes: rowAxes };
        const suffix = partial === null ? '' : '/partial';
        const layout = d.layout(byFeatures(featureAxes), partial);
        const out = d.add(`${op.origin.node}${suffix}`, dtype, [size.tokens, width], layout);
        d.emit({ op: 'embed', table, index, out });
        const result = op.outputs[0] as ValueId;
        if (partial === null) d.bind(result, out);
        else d.owe(result, out, []);
      },
    };
  });
}
