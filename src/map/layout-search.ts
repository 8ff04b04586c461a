/**
 * The search over layouts: dynamic programming over the ops of a stage. A state is a draft; drafts that look alike to all
 * that follows (Draft.key) compete, and the one with fewer cycles stays. Every op costs by itself once its operands lie
 * where it wants them, so nothing cheaper is lost, as long as no more than `width` states are kept.
 */
import type { Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { RegionProgram, T } from '../ir/program.ts';
import { bring, distinct, offersOf } from './bring.ts';
import { byFeatures, type Cut, cutText, linesOf, X, Y } from './cut.ts';
import { Draft } from './draft.ts';
import { ruleFor } from './rules/index.ts';
import { productFloor } from './rules/linear.ts';
import type { StageContext } from './stage-context.ts';
import { onTensors, usesOf } from './uses.ts';
import type { Way } from './way.ts';

export interface SearchLimits {
  /** States that are kept after each op. */
  readonly width: number;
  /** What a byte of weights or state on the fullest core is worth, in cycles. */
  readonly cyclesPerByte: number;
}

export const DEFAULT_LIMITS: SearchLimits = { width: 400, cyclesPerByte: 0 };

export interface SearchedProgram {
  readonly program: RegionProgram;
  readonly cycles: number;
  readonly residentBytes: number;
  /** Cycles, and what the resident bytes are worth. */
  readonly score: number;
  /** The way chosen for each op, in the order they are mapped. */
  readonly ways: readonly string[];
  /** Whether no state had to be left out. */
  readonly exact: boolean;
}

/**
 * The best program for a stage whose cost stays below `ceiling`, if there is one: what would pass it even if all that
 * follows cost no more than its floor is left out.
 */
export function searchLayouts(
  context: StageContext,
  limits: SearchLimits,
  ceiling: number,
): SearchedProgram | undefined {
  const walked = walk(context, limits, ceiling);
  return walked === undefined ? undefined : finished(walked, limits);
}

/** The best program for a stage. Where a narrow search is not exact, what it finds is the ceiling of the wide one. */
export function bestLayouts(context: StageContext, limits: SearchLimits = DEFAULT_LIMITS): SearchedProgram {
  const first = walk(context, { ...limits, width: Math.min(NARROW, limits.width) });
  if (first === undefined) throw new Error(`stage ${context.stage.name} has no layout`);
  if (first.exact || limits.width <= NARROW) return finished(first, limits);
  return finished(walk(context, limits, scoreOf(first.found, limits)) ?? first, limits);
}

/** Assumed: enough for a good ceiling in a tenth of the time. */
const NARROW = 12;

interface Walked {
  readonly found: Draft;
  readonly exact: boolean;
}

const scoreOf = (s: Draft, { cyclesPerByte }: SearchLimits): number => s.cycles + cyclesPerByte * s.residentBytes;

function walk(context: StageContext, limits: SearchLimits, ceiling = Number.POSITIVE_INFINITY): Walked | undefined {
  const score = (s: Draft): number => scoreOf(s, limits);
  const floors = floorsOf(context);
  let states: Draft[] = [new Draft(context)];
  let exact = true;
  const advance = (op: Op, at: number, waysOf: (s: Draft) => readonly Way[]): void => {
    const best = new Map<string, Draft>();
    const most = ceiling - (floors[at + 1] ?? 0);
    for (const s of states)
      for (const way of waysOf(s)) {
        const next = s.fork(op, way.name);
        way.make(next, bring(next, op, way.wants));
        if (score(next) > most) continue;
        next.forget(at);
        const key = next.key();
        const known = best.get(key);
        if (known === undefined || score(next) < score(known)) best.set(key, next);
      }
    states = [...best.values()];
    if (states.length > limits.width) {
      exact = false;
      states = states.sort((a, b) => score(a) - score(b)).slice(0, limits.width);
    }
  };
  for (const [at, op] of context.order.entries()) advance(op, at, (s) => ruleFor(op.kind)(s, op));
  const last = context.order.at(-1);
  if (last !== undefined)
    for (const v of context.stage.outputs)
      if (!context.isPresent(v)) advance(last, context.order.length, (s) => leave(s, last, v));
  if (states.length === 0) return undefined;
  return { found: states.reduce((a, b) => (score(b) < score(a) ? b : a)), exact };
}

/** The program that `choose` (of n ways, one) makes way by way: any that the rules allow, for tests of what they allow. */
export function layoutsByChoice(context: StageContext, choose: (ways: number) => number): RegionProgram {
  let s = new Draft(context);
  const advance = (op: Op, at: number, ways: readonly Way[]): void => {
    const way = ways[choose(ways.length)];
    const next = s.fork(op, way.name);
    way.make(next, bring(next, op, way.wants));
    next.forget(at);
    s = next;
  };
  for (const [at, op] of context.order.entries()) advance(op, at, ruleFor(op.kind)(s, op));
  const last = context.order.at(-1);
  if (last !== undefined)
    for (const v of context.stage.outputs)
      if (!context.isPresent(v)) advance(last, context.order.length, leave(s, last, v));
  return programOf(s);
}

/** Cycles that the ops from each position on take at least, wherever their operands lie: their products alone. */
function floorsOf(context: StageContext): number[] {
  const floors = [0];
  for (const op of [...context.order].reverse())
    floors.unshift(floors[0] + (op.kind === 'wafc.linear' ? productFloor(context, op) : 0));
  return floors;
}

function finished({ found, exact }: Walked, limits: SearchLimits): SearchedProgram {
  const { cycles, residentBytes } = found;
  return {
    program: programOf(found),
    cycles,
    residentBytes,
    ways: found.made().ways,
    exact,
    score: scoreOf(found, limits),
  };
}

/**
 * What goes on to another stage lies along y, as that one expects it; results for the host stay where they are cheapest, cut
 * by rows or by columns: a value that is cut by both has no way out (src/route).
 */
function leave(s: Draft, op: Op, v: ValueId): Way[] {
  const single = ({ tokens, features }: Cut): boolean => linesOf([...tokens, ...features]).length < 2;
  const cuts = s.context.goesOn(v)
    ? [byFeatures(Y)]
    : distinct([...offersOf(s, op, v).filter(single), byFeatures(X), byFeatures(Y)]);
  return cuts.map((as) => ({ name: `out@${cutText(as)}`, wants: [{ v, as }], make: (d, [t]) => d.leaveAs(v, t) }));
}

/** The draft as a region program: only what is used of the shared table of tensors, in order of first use. */
function programOf(s: Draft): RegionProgram {
  const { context } = s;
  const { stage, shape, size } = context;
  const { ops, results, caches, outputs } = s.made();
  const numbers = new Map<T, T>();
  const number = (t: T): T => {
    const known = numbers.get(t);
    if (known !== undefined) return known;
    numbers.set(t, numbers.size);
    return numbers.size - 1;
  };
  for (const op of ops) {
    const { reads, writes } = usesOf(op);
    for (const t of [...reads, ...writes]) number(t);
  }
  const inputs = stage.inputs.map((v) => {
    const input = context.stepInput(v);
    return input === null ? null : { ...input, tensor: number(input.tensor) };
  });
  const used = [...numbers.keys()];
  const tensors = used.map((t) => context.tensors[t]);
  const weights = used.filter((t) => context.tensors[t].role === 'weight');
  return {
    shape,
    tokens: size.tokens,
    context: caches.length > 0 ? size.context : 0,
    tensors,
    ops: ops.map((op) => onTensors(op, number)),
    inputs,
    outputs: stage.outputs.map((v) => (context.isPresent(v) ? null : number(outputs.get(v) ?? -1))),
    weights: weights.map(number),
    weightSources: weights.map((t) => context.sourceOf(t)),
    caches: caches.map((c) => ({
      ...c,
      state: number(c.state),
      ...(c.scales === undefined ? {} : { scales: number(c.scales) }),
    })),
    results: stage.ops.map((at) => {
      const t = results.get(context.graph.ops[at].outputs[0] as ValueId);
      return t === undefined || !numbers.has(t) ? null : number(t);
    }),
  };
}
