/**
 * Calibration on the reference executor: a model is walked once, from one input of linear layers to the next. For each, the statistics of
 * all tokens are gathered and handed to a visitor, who may put other weights in the place of those layers; what follows is then computed with
 * the new weights (sequential calibration, in the order of the graph).
 *
 * Between two stops only the values that cross the cut are held, for every window: the residual stream and little else. No activation inside
 * a layer is kept, and no window is computed twice.
 */
import { constantCache, type ConstantCache, evaluate } from '../exec/reference.ts';
import type { Constant } from '../ir/constant.ts';
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { HOST_KINDS } from '../ops/wafc-host.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Linear, linearsOf } from './linears.ts';
import { type Model, sequenceFeeds } from './sequence.ts';
import { InputStatistics, type StatisticsWanted } from './statistics.ts';

/** Linear layers that read one value. */
export interface Wave {
  readonly x: ValueId;
  readonly linears: readonly Linear[];
}

/** New weights by the constants they replace. */
export type Replacements = ReadonlyMap<Constant, Constant>;

export interface WalkOptions {
  /** What to gather for a wave; undefined: nothing, and it is not visited. */
  wanted(wave: Wave): StatisticsWanted | undefined;
  visit(wave: Wave, statistics: InputStatistics): Replacements;
  /** Waves done, of all. */
  progress?(done: number, all: number): void;
}

/** Waves of a graph, in the order of their first layer. */
export function wavesOf(graph: Graph): Wave[] {
  const waves = new Map<ValueId, Linear[]>();
  for (const linear of linearsOf(graph)) {
    const known = waves.get(linear.x);
    if (known === undefined) waves.set(linear.x, [linear]);
    else known.push(linear);
  }
  return [...waves].map(([x, linears]) => ({ x, linears }));
}

/** Walks all windows of ids through the model. @throws Diagnosed `eval/input` for models that ids alone do not feed. */
export function walkModel(model: Model, windows: readonly Int32Array[], options: WalkOptions): void {
  const { graph } = model;
  const replaced = new Map<Constant, Constant>();
  const cache = constantCache();
  const constants: ConstantCache = { read: (c) => cache.read(replaced.get(c) ?? c) };
  const isToken = tokenValues(graph);
  const tokens = windows.reduce((n, ids) => n + ids.length, 0);
  let held: readonly Map<string, Tensor>[] = windows.map(() => new Map());
  const waves = wavesOf(graph);
  for (const [done, wave] of waves.entries()) {
    options.progress?.(done, waves.length);
    const wanted = options.wanted(wave);
    if (wanted === undefined) continue;
    const crossing = valuesAcross(graph, wave.linears[0].op, isToken);
    const statistics = new InputStatistics(graph.types[wave.x].shape.at(-1) as number, tokens, wanted);
    held = held.map((before, i) => {
      const feeds = new Map([...sequenceFeeds(model, windows[i]), ...before]);
      const values = evaluate(graph, [wave.x, ...crossing], feeds, { constants });
      statistics.add(values[0]);
      return new Map(crossing.map((v, c) => [graph.names[v], values[c + 1]]));
    });
    for (const [from, to] of options.visit(wave, statistics)) replaced.set(from, to);
  }
}

/** By value: whether it is an activation of tokens, not something the host computes from ids and lengths. */
function tokenValues(graph: Graph): readonly boolean[] {
  const isToken = graph.types.map(() => false);
  for (const op of graph.ops) {
    const own = op.kind.startsWith('wafc.') && !HOST_KINDS.has(op.kind);
    if (own || op.inputs.some((v) => v !== null && isToken[v]))
      for (const v of op.outputs) if (v !== null) isToken[v] = true;
  }
  return isToken;
}

/** Activations that ops before `cut` give and ops from it on read. */
function valuesAcross(graph: Graph, cut: number, isToken: readonly boolean[]): ValueId[] {
  const before = new Set(graph.ops.slice(0, cut).flatMap((op) => op.outputs.filter((v) => v !== null)));
  const after = new Set(graph.ops.slice(cut).flatMap((op) => op.inputs.filter((v) => v !== null)));
  return [...before].filter((v) => isToken[v] && after.has(v));
}
