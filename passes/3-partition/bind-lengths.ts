/**
 * bind-lengths: how the model will be run, and for how long a context.
 *
 * Before  a token graph with open lengths S (sequence) and P (past).
 * After   mode `stream` when all attention is causal: one token a step, KV resident, S and P stay run-time values up to the
 *         context. Mode `whole` otherwise: S is bound to the context. The context is what was asked for, or
 *         4096 positions (128 tokens for whole sequences), or as far as the model's positions go.
 * Skips   nothing: two lengths of sequences in one model are refused; a context beyond the model's positions is an error that says how far they go.
 */
import { Diagnosed, fail } from '../../src/diag/diagnostic.ts';
import { bindDim, type Dim, printDim, symbolsOf } from '../../src/ir/dim.ts';
import type { Program, RunMode } from '../../src/ir/facts.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { HOST_KINDS } from '../../src/ops/wafc-host.ts';
import { Probe } from '../../src/lift/probe.ts';
import { definePass } from '../../src/pass/pass.ts';

/** Positions of a decoder, tokens of an encoder, when nobody says. */
const DEFAULT_CONTEXT = { stream: 4096, whole: 128 } as const;

export default definePass({
  name: 'bind-lengths',
  summary: 'decide between streaming and whole sequences; bind the context',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program) {
    const { graph, mode } = program;
    const attention = graph.ops.filter((op) => op.kind === 'wafc.attention');
    const streams =
      attention.length > 0 &&
      attention.every((op) => op.attrs.causal === 1) &&
      !graph.ops.some((op) => op.kind === 'wafc.tokens') &&
      isOpen(graph, 'S');
    const kind = streams ? 'stream' : 'whole';
    const fixed = streams ? undefined : fixedTokens(graph);
    const context = fixed ?? contextFor(program, kind, mode.context);
    const bound: RunMode = { ...mode, kind, context, batch: batchOf(graph, mode.batch) };
    if (kind === 'stream') return { ...program, mode: bound };
    const whole = inferTypes(graph, (d) => bindDim(d, { S: context }));
    checkOneLength(whole, context);
    return { ...program, mode: bound, graph: whole };
  },
});

/** Ops whose results lie on cores. */
const onCores = (graph: Graph): Op[] =>
  graph.ops.filter((op) => op.kind.startsWith('wafc.') && !HOST_KINDS.has(op.kind));

const shapeOf = (graph: Graph, op: Op): readonly Dim[] => graph.types[op.outputs[0] as ValueId].shape;

/** The batch that was asked for, or the one that the model has fixed. */
function batchOf(graph: Graph, asked: number): number {
  for (const op of onCores(graph)) {
    const [batch] = shapeOf(graph, op);
    if (batch === 1 || batch === asked) continue;
    if (typeof batch === 'number' && asked === 1) return batch;
    fail({
      code: 'compile/batch',
      message: `${op.kind} computes ${printDim(batch)} sequences, not ${asked}`,
      node: op.origin.node,
      notes: [`the model has a batch of its own: leave --batch out`],
    });
  }
  return asked;
}

/** Stages hand on one sequence: all tokens of it, or the one that it is boiled down to. */
function checkOneLength(graph: Graph, context: number): void {
  for (const op of onCores(graph)) {
    const [, tokens] = shapeOf(graph, op);
    if (tokens === context || tokens === 1) continue;
    fail({
      code: 'compile/two-lengths',
      message: `${op.kind} computes ${printDim(tokens)} tokens where others compute ${context}: stages hand on one sequence`,
      node: op.origin.node,
      notes: ['export the encoder and the decoder of a model as two models, and compile each'],
    });
  }
}

const isOpen = (graph: Graph, symbol: string): boolean =>
  graph.inputs.some((v) => graph.types[v].shape.some((d) => symbolsOf(d).includes(symbol)));

/** Tokens of a model whose sequence length is not open. */
function fixedTokens(graph: Graph): number | undefined {
  if (isOpen(graph, 'S')) return undefined;
  const dims = onCores(graph).map((op) => shapeOf(graph, op)[1]);
  const known = dims.filter((d): d is number => typeof d === 'number');
  return known.length === 0 ? 1 : Math.max(...known);
}

function contextFor(program: Program, kind: RunMode['kind'], asked: number): number {
  if (asked > 0) {
    const problem = missingPositions(program, kind, asked);
    if (problem === undefined) return asked;
    const most = defaultContext(program, kind);
    fail({
      code: 'compile/context',
      message: `a context of ${asked} is longer than the model's positions: ${problem}`,
      notes: [most < asked ? `--context ${most} works` : 'ask for a shorter --context'],
    });
  }
  return defaultContext(program, kind);
}

/** The default, or as far as the model's positions go. */
function defaultContext(program: Program, kind: RunMode['kind']): number {
  const wanted = DEFAULT_CONTEXT[kind];
  if (missingPositions(program, kind, wanted) === undefined) return wanted;
  let low = 1;
  for (let high: number = wanted; high - low > 1; ) {
    const middle = (low + high) >> 1;
    if (missingPositions(program, kind, middle) === undefined) low = middle;
    else high = middle;
  }
  return low;
}

/** Like {@link positionsAt}; an op of the host that fails at this length is a missing position, too. */
function missingPositions(program: Program, kind: RunMode['kind'], context: number): string | undefined {
  try {
    return positionsAt(program, kind, context);
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics[0].message;
    throw error;
  }
}

/** What is missing at position `context - 1`; undefined when nothing is. */
function positionsAt({ graph, roles }: Program, kind: RunMode['kind'], context: number): string | undefined {
  const hasPast = kind === 'stream' && [...roles.values()].some((r) => r.kind === 'past');
  const probe = new Probe(graph, roles, hasPast ? { sequence: 1, past: context - 1 } : { sequence: context, past: 0 });
  const fromHost = (v: ValueId): boolean =>
    !graph.ops.some((op) => op.outputs.includes(v) && op.kind.startsWith('wafc.') && !HOST_KINDS.has(op.kind)) &&
    !graph.constants.has(v);
  for (const op of graph.ops) {
    if (op.kind === 'wafc.embedding') {
      const [table, index] = op.inputs as ValueId[];
      const rows = graph.types[table].shape[0];
      const worst = Math.max(0, ...probe.tensor(index).data);
      if (typeof rows === 'number' && worst >= rows) return `${graph.names[table]} has ${rows} rows`;
    }
    if (op.kind !== 'wafc.rope') continue;
    for (const v of op.inputs.slice(1)) {
      if (v === null || !fromHost(v)) continue;
      const [, rows] = probe.tensor(v).shape;
      if (rows !== probe.size.sequence && rows !== 1)
        return `${graph.names[v]} has ${rows} rows for ${probe.size.sequence} tokens`;
    }
  }
  return undefined;
}
