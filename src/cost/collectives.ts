/**
 * Collectives over axes of a region: the cheapest algorithm per line of cores, by the closed forms of line.ts, and
 * the bound that no algorithm passes. A region axis after another: lines of one axis run side by side.
 */
import type { CollectiveOp, Combine, MeshAxis, RegionShape } from '../ir/program.ts';
import { axisSize } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { COMBINE_CYCLES } from './constants.ts';
import * as forms from './line.ts';
import { addSpent, type Line, NOTHING, type Spent, totalOf } from './line.ts';

export type Algorithm =
  | 'star'
  | 'chain'
  | 'tree'
  | 'two-phase'
  | 'middle-chain'
  | 'middle-two-phase'
  | 'scatter-gather'
  | 'relay'
  | 'in-turn';

export interface LineCost extends Spent {
  readonly algorithm: string;
  /** Cores of a group, for the two-phase algorithms. */
  readonly group?: number;
}

/**
 * What a plan may choose. Star and tree are for comparison: many senders on one color need their routes merged or
 * switched in turn, and a color per level (rules R3 and R8 of the fabric: one receive direction, six queues).
 */
export const ROUTABLE: readonly Algorithm[] = [
  'chain',
  'two-phase',
  'middle-chain',
  'middle-two-phase',
  'scatter-gather',
  'relay',
  'in-turn',
];

const cheapest = (costs: readonly LineCost[]): LineCost =>
  costs.reduce((best, cost) => (totalOf(cost) < totalOf(best) ? cost : best));

/** Group sizes worth trying: near the square root, where the two phases balance. */
function groupSizes(cores: number): number[] {
  const middle = Math.round(Math.sqrt(cores));
  const sizes: number[] = [];
  for (let s = Math.max(2, middle - 8); s <= Math.min(cores - 1, middle + 8); s++) sizes.push(s);
  return sizes;
}

/** Every algorithm for an all-reduce of `wavelets` per core on `line`. */
export function allReduceCosts(line: Line, wavelets: number, combine: Combine = 'sum'): LineCost[] {
  if (line.cores < 2) return [{ algorithm: 'none', ...NOTHING }];
  const work = COMBINE_CYCLES[combine];
  const owed = wavelets * work;
  const back = forms.broadcast(line, wavelets);
  const ended = (algorithm: Algorithm, reduce: Spent): LineCost => ({ algorithm, ...addSpent(reduce, back) });
  const groups = groupSizes(line.cores);
  const middle = groups.map((group) => ({
    algorithm: 'middle-two-phase',
    group,
    ...forms.middleAllReduce(line, wavelets, group, work),
  }));
  const phases = groups.map((group) => ({ ...ended('two-phase', forms.twoPhaseReduce(line, owed, group)), group }));
  const costs: LineCost[] = [
    { algorithm: 'middle-chain', ...forms.middleAllReduce(line, wavelets, line.cores, work) },
    ended('chain', forms.chainReduce(line, owed)),
    ended('star', forms.starReduce(line, owed)),
    ended('tree', forms.treeReduce(line, owed)),
    {
      algorithm: 'scatter-gather',
      ...addSpent(
        forms.relayReduceScatter(line, wavelets, work),
        forms.relayAllGather(line, Math.ceil(wavelets / line.cores)),
      ),
    },
  ];
  if (middle.length > 0) costs.push(cheapest(middle), cheapest(phases));
  return costs;
}

/** The cheapest all-reduce among `allowed`. */
export function allReduceCost(line: Line, wavelets: number, combine: Combine, allowed = ROUTABLE): LineCost {
  const costs = allReduceCosts(line, wavelets, combine);
  const usable = costs.filter((c) => c.algorithm === 'none' || allowed.some((a) => a === c.algorithm));
  return cheapest(usable.length > 0 ? usable : costs);
}

/** A core's contribution to the whole tensor is `wavelets`; it keeps one part of `line.cores`. */
export function reduceScatterCost(line: Line, wavelets: number, combine: Combine): LineCost {
  const relay = { algorithm: 'relay', ...forms.relayReduceScatter(line, wavelets, COMBINE_CYCLES[combine]) };
  // Reducing all and keeping a part is never excluded: fan-out is free.
  return line.cores < 2 ? { algorithm: 'none', ...NOTHING } : cheapest([relay, allReduceCost(line, wavelets, combine)]);
}

/** A core's part is `wavelets`; it receives those of all the others. Turns need a switchable color each way. */
export function allGatherCost(line: Line, wavelets: number, turns: boolean): LineCost {
  if (line.cores < 2) return { algorithm: 'none', ...NOTHING };
  const relay = { algorithm: 'relay', ...forms.relayAllGather(line, wavelets) };
  return turns ? cheapest([{ algorithm: 'in-turn', ...forms.inTurnAllGather(line, wavelets) }, relay]) : relay;
}

/** Lines that `axes` span together: rows, columns, or both one after the other. Axes of one core are left out. */
export function linesOf(axes: readonly MeshAxis[], shape: RegionShape, target: Target): Line[] {
  const { hopCycles, rampCycles } = target;
  const inner = shape.width / shape.groups;
  const [xo, xi] = [axes.includes('xo'), axes.includes('xi')];
  const lines: Line[] = [];
  if (axes.includes('y')) lines.push({ cores: shape.height, stride: 1, hopCycles, rampCycles });
  if (xo && xi) lines.push({ cores: shape.width, stride: 1, hopCycles, rampCycles });
  else if (xi) lines.push({ cores: inner, stride: 1, hopCycles, rampCycles });
  else if (xo) lines.push({ cores: axisSize(shape, 'xo'), stride: inner, hopCycles, rampCycles });
  return lines.filter((line) => line.cores > 1);
}

export interface CollectiveCost extends Spent {
  /** Names joined by `+` where both axes take part. */
  readonly algorithm: string;
  /** Cycles no algorithm can do without. */
  readonly bound: number;
}

export interface CollectivePlace {
  readonly shape: RegionShape;
  readonly target: Target;
  /** All-reduces take WaferLLM's K = 2 tree with groups of this many cores, not the cheapest algorithm. */
  readonly treeGroup?: number;
}

/** `wavelets` = payload of one core's inputs. The bound counts sums as free and takes each line by itself. */
export function collectiveCost(
  op: Pick<CollectiveOp, 'op' | 'axes' | 'combine'>,
  wavelets: number,
  { shape, target, treeGroup }: CollectivePlace,
): CollectiveCost {
  const lines = linesOf(op.axes, shape, target);
  const turns = target.colors.switchable.length >= 2;
  let spent: Spent = NOTHING;
  let bound = 0;
  let payload = wavelets;
  const names: string[] = [];
  for (const line of lines) {
    const cost =
      treeGroup !== undefined && op.op === 'all_reduce'
        ? treeCost(line, payload, { group: treeGroup, combine: op.combine ?? 'sum' })
        : lineCost(op, line, { payload, turns });
    spent = addSpent(spent, cost);
    bound += lineBound(op.op, line, payload);
    names.push(cost.algorithm);
    if (op.op === 'all_gather') payload *= line.cores;
    if (op.op === 'reduce_scatter') payload = Math.ceil(payload / line.cores);
  }
  return { ...spent, algorithm: names.join('+') || 'none', bound };
}

/** The published all-reduce, which a plan of ours takes only where nothing is cheaper. */
const treeCost = (line: Line, wavelets: number, { group, combine }: { group: number; combine: Combine }): LineCost => ({
  algorithm: 'middle-two-phase',
  group,
  ...forms.middleAllReduce(line, wavelets, group, COMBINE_CYCLES[combine]),
});

function lineCost(
  { op, combine }: Pick<CollectiveOp, 'op' | 'combine'>,
  line: Line,
  { payload, turns }: { readonly payload: number; readonly turns: boolean },
): LineCost {
  switch (op) {
    case 'all_reduce':
      return allReduceCost(line, payload, combine ?? 'sum');
    case 'reduce_scatter':
      return reduceScatterCost(line, payload, combine ?? 'sum');
    case 'all_gather':
      return allGatherCost(line, payload, turns);
  }
}

/**
 * Distance from end to end, one core of depth, and what must cross the end's one link: all of B behind the way for
 * an all-reduce; the other cores' parts, or the way, for the others.
 */
export function lineBound(op: CollectiveOp['op'], line: Line, wavelets: number): number {
  if (line.cores < 2) return 0;
  const way = (line.cores - 1) * line.stride * line.hopCycles;
  const others = op === 'all_gather' ? (line.cores - 1) * wavelets : ((line.cores - 1) * wavelets) / line.cores;
  const moved = op === 'all_reduce' ? way + Math.max(0, wavelets - 1) : Math.max(way, others);
  return moved + forms.depthCycles(line);
}
