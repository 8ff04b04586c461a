/**
 * Collectives over axes of a region: the cheapest algorithm per line of cores, by the closed forms of line.ts, and
 * the bound that no algorithm passes. A region axis after another: lines of one axis run side by side.
 */
import type { CollectiveOp, Combine, MeshAxis, RegionShape } from '../ir/program.ts';
import { axisSize } from '../ir/program.ts';
import type { LineAxis } from '../ir/routing.ts';
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

/** Colors of an algorithm, and queues of its fullest core (src/route/line-routes.ts). */
interface RouteNeeds {
  readonly colors: number;
  readonly input: number;
  readonly output: number;
}

/**
 * What a plan may choose. Star and tree are for comparison: many senders on one color need their routes merged or
 * switched in turn, and a color per level (rules R3 and R8 of the fabric: one receive direction, six queues).
 */
export const ROUTABLE: ReadonlyMap<Algorithm, RouteNeeds> = new Map<Algorithm, RouteNeeds>([
  ['chain', { colors: 3, input: 2, output: 1 }],
  ['two-phase', { colors: 5, input: 3, output: 1 }],
  ['middle-chain', { colors: 3, input: 2, output: 1 }],
  ['middle-two-phase', { colors: 5, input: 4, output: 1 }],
  ['scatter-gather', { colors: 4, input: 2, output: 2 }],
  ['relay', { colors: 4, input: 2, output: 2 }],
  ['in-turn', { colors: 2, input: 2, output: 2 }],
]);

/** Kept for transports: activations in and out of a region, values from the host, results to it. */
const TRANSPORT_NEEDS: RouteNeeds = { colors: 4, input: 2, output: 2 };
/** Of these, colors that senders take turns on: buses in and out, results. Without them senders pass everything on. */
const TRANSPORT_TURNS = 3;
const PASSING_NEEDS: RouteNeeds = { colors: 6, input: 3, output: 3 };

/** Algorithms that find colors and queues on the target beside the transports. */
function routableOn({ colors, queues }: Target): Algorithm[] {
  const turns = colors.switchable.length >= 2 + TRANSPORT_TURNS && colors.switchesBoth !== false;
  const kept = colors.switchable.length >= TRANSPORT_TURNS ? TRANSPORT_NEEDS : PASSING_NEEDS;
  return [...ROUTABLE].flatMap(([algorithm, needs]) => {
    const fits =
      needs.colors + kept.colors <= colors.usable.length &&
      needs.input + kept.input <= queues.input &&
      needs.output + (queues.outputsShared === true ? 0 : kept.output) <= queues.output;
    return fits && (algorithm !== 'in-turn' || turns) ? [algorithm] : [];
  });
}

const cheapest = (costs: readonly LineCost[]): LineCost =>
  costs.reduce((best, cost) => (totalOf(cost) < totalOf(best) ? cost : best));

/** Assumed: whole groups that come out even are found this near; others cost a step more. */
const NEAR = 4;

/** Group sizes worth trying: near the square root, where the two phases balance. */
function groupSizes(cores: number): number[] {
  const middle = Math.round(Math.sqrt(cores));
  const sizes: number[] = [];
  for (let s = Math.max(2, middle - NEAR); s <= Math.min(cores - 1, middle + NEAR); s++) sizes.push(s);
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
export function allReduceCost(
  line: Line,
  wavelets: number,
  combine: Combine,
  allowed: readonly Algorithm[] = [...ROUTABLE.keys()],
): LineCost {
  const costs = allReduceCosts(line, wavelets, combine);
  const usable = costs.filter((c) => c.algorithm === 'none' || allowed.some((a) => a === c.algorithm));
  // Where nothing fits, routing says so of the most modest one.
  return cheapest(usable.length > 0 ? usable : costs.filter((c) => c.algorithm === 'chain'));
}

/** A core's contribution to the whole tensor is `wavelets`; it keeps one part of `line.cores`. */
export function reduceScatterCost(
  line: Line,
  wavelets: number,
  combine: Combine,
  allowed: readonly Algorithm[] = [...ROUTABLE.keys()],
): LineCost {
  if (line.cores < 2) return { algorithm: 'none', ...NOTHING };
  // Reducing all and keeping a part is never excluded: fan-out is free.
  const whole = allReduceCost(line, wavelets, combine, allowed);
  if (!allowed.includes('relay')) return whole;
  return cheapest([
    { algorithm: 'relay', ...forms.relayReduceScatter(line, wavelets, COMBINE_CYCLES[combine]) },
    whole,
  ]);
}

/** A core's part is `wavelets`; it receives those of all the others. `cells` = cores that relay: more than have parts on `xo`. */
export function allGatherCost(
  line: Line,
  wavelets: number,
  allowed: readonly Algorithm[] = [...ROUTABLE.keys()],
  cells = line.cores,
): LineCost {
  if (line.cores < 2) return { algorithm: 'none', ...NOTHING };
  const relay = { algorithm: 'relay', ...forms.relayAllGather({ ...line, cores: cells, stride: 1 }, wavelets) };
  const turns = { algorithm: 'in-turn', ...forms.inTurnAllGather(line, wavelets) };
  return allowed.includes('in-turn') ? cheapest([turns, relay]) : relay;
}

/** A line of a region: its axis, and all cores along it (more than take part on `xo`). */
export interface AxisLine extends Line {
  readonly axis: LineAxis;
  readonly cells: number;
}

/** Lines that `axes` span together: rows, columns, or both one after the other. Axes of one core are left out. */
export function linesOf(axes: readonly MeshAxis[], shape: RegionShape, target: Target): AxisLine[] {
  const { hopCycles, rampCycles } = target;
  const inner = shape.width / shape.groups;
  const [xo, xi] = [axes.includes('xo'), axes.includes('xi')];
  const lines: AxisLine[] = [];
  const add = (axis: LineAxis, cores: number, stride: number): void => {
    lines.push({ axis, cores, stride, cells: cores * stride, hopCycles, rampCycles });
  };
  if (axes.includes('y')) add('y', shape.height, 1);
  if (xo && xi) add('x', shape.width, 1);
  else if (xi) add('xi', inner, 1);
  else if (xo) add('xo', axisSize(shape, 'xo'), inner);
  return lines.filter((line) => line.cores > 1);
}

/** What was chosen for one line of a collective. */
export interface ChosenLine {
  readonly axis: LineAxis;
  readonly algorithm: string;
  /** Cores of a group; 0 where the algorithm has none. */
  readonly group: number;
  /** Of the fullest core when the line begins. */
  readonly wavelets: number;
}

export interface CollectiveCost extends Spent {
  /** Names joined by `+` where both axes take part. */
  readonly algorithm: string;
  readonly lines: readonly ChosenLine[];
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
  const choices = choicesOn(target);
  let spent: Spent = NOTHING;
  let bound = 0;
  let payload = wavelets;
  const lines: ChosenLine[] = [];
  for (const line of linesOf(op.axes, shape, target)) {
    const cost =
      treeGroup !== undefined && op.op === 'all_reduce'
        ? treeCost(line, payload, { group: treeGroup, combine: op.combine ?? 'sum' })
        : choices(op, line, payload);
    spent = addSpent(spent, cost);
    bound += lineBound(op.op, line, payload);
    lines.push({ axis: line.axis, algorithm: cost.algorithm, group: cost.group ?? 0, wavelets: payload });
    if (op.op === 'all_gather') payload *= line.cores;
    if (op.op === 'reduce_scatter') payload = Math.ceil(payload / line.cores);
  }
  return { ...spent, algorithm: lines.map((l) => l.algorithm).join('+') || 'none', lines, bound };
}

type LineChoice = (op: Pick<CollectiveOp, 'op' | 'combine'>, line: AxisLine, payload: number) => LineCost;

/** The search over regions asks for the same lines again and again. */
const choicesByTarget = new WeakMap<Target, LineChoice>();

/** What a line costs on `target`, remembered. */
function choicesOn(target: Target): LineChoice {
  const known = choicesByTarget.get(target);
  if (known !== undefined) return known;
  const routable = routableOn(target);
  const costs = new Map<string, LineCost>();
  const choice: LineChoice = (op, line, payload) => {
    const key = `${op.op} ${op.combine} ${line.axis === 'xo'} ${line.cores} ${line.stride} ${payload}`;
    let cost = costs.get(key);
    if (cost === undefined) {
      cost = lineCost(op, line, { payload, routable });
      costs.set(key, cost);
    }
    return cost;
  };
  choicesByTarget.set(target, choice);
  return choice;
}

/** The published all-reduce, which a plan of ours takes only where nothing is cheaper. */
const treeCost = (line: Line, wavelets: number, { group, combine }: { group: number; combine: Combine }): LineCost => ({
  algorithm: 'middle-two-phase',
  group,
  ...forms.middleAllReduce(line, wavelets, group, COMBINE_CYCLES[combine]),
});

function lineCost(
  { op, combine }: Pick<CollectiveOp, 'op' | 'combine'>,
  line: AxisLine,
  { payload, routable }: { readonly payload: number; readonly routable: readonly Algorithm[] },
): LineCost {
  // Of a group only the first core takes part on `xo`: what ends on one core each must be sent to all.
  const allowed =
    line.axis === 'xo' && op !== 'all_gather'
      ? routable.filter((a) => a !== 'relay' && a !== 'scatter-gather')
      : routable;
  switch (op) {
    case 'all_reduce':
      return allReduceCost(line, payload, combine ?? 'sum', allowed);
    case 'reduce_scatter':
      return reduceScatterCost(line, payload, combine ?? 'sum', allowed);
    case 'all_gather':
      return allGatherCost(line, payload, allowed, line.cells);
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
