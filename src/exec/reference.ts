/**
 * The reference executor: what a graph means, op by op, at concrete shapes. It holds no kernels (src/ops does), only
 * order, names, lifetimes and feeds. One demand-driven walk serves whole runs, subgraphs and compile-time probes.
 */
import { Diagnosed, fail } from '../diag/diagnostic.ts';
import type { Constant } from '../ir/constant.ts';
import { type Graph, isGraphAttr, type Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { attrReader } from '../ops/attrs.ts';
import { opFor } from '../ops/registry.ts';
import { readConstant } from '../tensor/read.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkFeeds } from './feeds.ts';

/** Constants already read, the oldest dropped when they outgrow `limitBytes`. Shareable between runs of one model. */
export interface ConstantCache {
  read(constant: Constant): Tensor;
}

export interface RunOptions {
  /** Called after each op of the graph and of its subgraphs; outputs that nobody asked for are undefined. */
  observe?(op: Op, outputs: readonly (Tensor | undefined)[]): void;
  readonly constants?: ConstantCache;
}

const CACHE_BYTES = 256 * 2 ** 20;

/** A cache that holds at most `limitBytes` of constants, least recently used first out. */
export function constantCache(limitBytes = CACHE_BYTES): ConstantCache {
  const held = new Map<Constant, Tensor>();
  let bytes = 0;
  return {
    read(constant) {
      const found = held.get(constant);
      const value = found ?? readConstant(constant);
      if (found !== undefined) held.delete(constant);
      else bytes += value.data.byteLength;
      held.set(constant, value);
      for (const [oldest, { data }] of held) {
        if (bytes <= limitBytes || oldest === constant) break;
        held.delete(oldest);
        bytes -= data.byteLength;
      }
      return value;
    },
  };
}

/** Values of an enclosing run, by name. */
export type Scope = (name: string) => Tensor | undefined;
const noScope: Scope = () => undefined;

/**
 * Runs `graph` on `feeds` (by input name) and returns its outputs by name.
 * @throws Diagnosed when feeds and graph inputs disagree, or when an op meets a value that it does not allow.
 */
export function runGraph(
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
  options: RunOptions = {},
): Map<string, Tensor> {
  checkFeeds(graph, feeds);
  const values = evaluate(graph, graph.outputs, feeds, options);
  return new Map(graph.outputs.map((value, i) => [graph.names[value], values[i]]));
}

/**
 * Computes `wanted` and nothing that they do not need. `feeds` may name any value of the graph; a fed value is not
 * computed, so only the inputs that the wanted values depend on must be fed.
 */
export function evaluate(
  graph: Graph,
  wanted: readonly ValueId[],
  feeds: ReadonlyMap<string, Tensor>,
  options: RunOptions = {},
): Tensor[] {
  const constants = options.constants ?? constantCache();
  return walk(graph, wanted, feeds, { outer: (name) => feeds.get(name), options: { ...options, constants } });
}

/** Runs one op alone, for constant folding. Its bodies, if it has any, must not read outer values. */
export function runOp(op: Op, inputs: readonly (Tensor | undefined)[]): Tensor[] {
  return runIn(op, inputs, { outer: noScope, options: { constants: constantCache() } });
}

/** Runs one op amid values of an outer graph, which its bodies may read by name. */
export function runOpAmid(
  op: Op,
  inputs: readonly (Tensor | undefined)[],
  outer: Scope,
  constants: ConstantCache,
): Tensor[] {
  return runIn(op, inputs, { outer, options: { constants } });
}

interface Run {
  /** What a body captures: values of the enclosing graphs. */
  readonly outer: Scope;
  readonly options: RunOptions & { readonly constants: ConstantCache };
}

function walk(graph: Graph, wanted: readonly ValueId[], feeds: ReadonlyMap<string, Tensor>, run: Run): Tensor[] {
  const held = new Map<ValueId, Tensor>();
  const { needed, uses } = planOf(graph, wanted, feeds);
  const valueOf = (value: ValueId): Tensor => {
    const captured = graph.captures.get(value);
    const known = captured === undefined ? (held.get(value) ?? feeds.get(graph.names[value])) : run.outer(captured);
    if (known !== undefined) return known;
    const constant = graph.constants.get(value);
    if (constant !== undefined) return run.options.constants.read(constant);
    return fail({ code: 'exec/missing', message: `expected a value for ${graph.names[value]}, found none` });
  };
  const byName: Scope = (name) => {
    const value = idsByName(graph).get(name);
    return value === undefined ? run.outer(name) : valueOf(value);
  };
  for (const op of needed) {
    const inputs = op.inputs.map((value) => (value === null ? undefined : valueOf(value)));
    const outputs = runIn(op, inputs, { ...run, outer: byName });
    for (const [i, value] of op.outputs.entries()) {
      if (value !== null && uses.has(value) && outputs[i] !== undefined) held.set(value, outputs[i]);
    }
    for (const value of readsOf(graph, op)) {
      const left = (uses.get(value) ?? 0) - 1;
      uses.set(value, left);
      if (left === 0) held.delete(value);
    }
  }
  return wanted.map(valueOf);
}

function runIn(op: Op, inputs: readonly (Tensor | undefined)[], run: Run): Tensor[] {
  const outputs = callOp(op, inputs, (body, bodyInputs) => runBody(body, bodyInputs, run));
  run.options.observe?.(op, outputs);
  return outputs;
}

/**
 * The kernel of an op on given inputs; `runIts` runs its bodies. The one place where kernels are called.
 * @throws Diagnosed, naming the op's node, when the op is not supported or meets a value that it does not allow.
 */
export function callOp(
  op: Pick<Op, 'kind' | 'version' | 'attrs' | 'origin' | 'outputs'>,
  inputs: readonly (Tensor | undefined)[],
  runIts: (body: Graph, inputs: readonly Tensor[]) => readonly Tensor[],
): Tensor[] {
  const def = opFor(op.kind);
  if (def === undefined)
    fail({ code: 'onnx/unsupported-op', message: `${op.kind} is not supported`, node: op.origin.node });
  try {
    return [
      ...def.run({
        version: op.version,
        attrs: attrReader(op),
        inputs,
        outputCount: op.outputs.length,
        runGraph: runIts,
      }),
    ];
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw new Error(`${op.kind} at ${op.origin.node} failed`, { cause: error });
    throw new Diagnosed(error.diagnostics.map((d) => ({ node: op.origin.node, ...d })));
  }
}

/** Runs a body on its inputs; what it captures comes from around the op that runs it. */
function runBody(body: Graph, inputs: readonly Tensor[], run: Run): Tensor[] {
  const feeds = new Map(body.inputs.map((value, i) => [body.names[value], inputs[i]]));
  return walk(body, body.outputs, feeds, run);
}

/** The ops that `wanted` need, in order, and how often they read each value (one more for a wanted one). */
function planOf(
  graph: Graph,
  wanted: readonly ValueId[],
  feeds: ReadonlyMap<string, Tensor>,
): { needed: Op[]; uses: Map<ValueId, number> } {
  const uses = new Map<ValueId, number>();
  const use = (value: ValueId) => uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const value of wanted) use(value);
  const needed: Op[] = [];
  for (const op of graph.ops.toReversed()) {
    if (!op.outputs.some((v) => v !== null && uses.has(v) && !feeds.has(graph.names[v]))) continue;
    needed.push(op);
    for (const value of readsOf(graph, op)) use(value);
  }
  return { needed: needed.reverse(), uses };
}

const nameTables = new WeakMap<Graph, ReadonlyMap<string, ValueId>>();

function idsByName(graph: Graph): ReadonlyMap<string, ValueId> {
  const known = nameTables.get(graph);
  if (known !== undefined) return known;
  const table = new Map(graph.names.map((name, i) => [name, i as ValueId]));
  nameTables.set(graph, table);
  return table;
}

/** What an op reads: its inputs and, of this graph, what its bodies capture (at any depth). */
function readsOf(graph: Graph, op: Op): ValueId[] {
  const captured = capturesOf(op).flatMap((name) => idsByName(graph).get(name) ?? []);
  return [...op.inputs.filter((value) => value !== null), ...captured];
}

/** What the bodies of an op read of the graphs around them, by name. */
export const capturesOf = (op: Op): string[] =>
  Object.values(op.attrs)
    .filter(isGraphAttr)
    .flatMap(({ graph }) => [...graph.captures.values(), ...graph.ops.flatMap(capturesOf)]);
