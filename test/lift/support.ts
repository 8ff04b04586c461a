/** Small attention models whose every part can be spelled in other ways, and what is left of them once lifted. */
import { expect } from 'vitest';
import { GraphBuilder, type Scope } from '../../models/graph-builder.ts';
import { GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import { compare } from '../../src/exec/compare.ts';
import { randomFeeds } from '../../src/exec/feeds-for.ts';
import { runGraph } from '../../src/exec/reference.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import type { Program } from '../../src/ir/facts.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { encodeModelBytes, type WritableModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';
import { TINY } from '../support/program.ts';

export const [HEADS, KV, HD, WIDTH, VOCAB] = [4, 2, 6, 10, 12];

/** Extents of the model as i64[1] values. */
export interface Sizes {
  readonly batch: string;
  readonly length: string;
}

export interface Parts {
  /** A value [B,S,n*HD] as [B,n,S,HD]. */
  split?(s: Scope, value: string, heads: number, sizes: Sizes): string;
  /** q, k and v as [B,heads,S,HD]. */
  project?(s: Scope, x: string, sizes: Sizes): readonly [string, string, string];
  /** Turns [B,n,S,HD]; identity when left out. */
  rotate?(s: Scope, value: string): string;
  /** [B,KV,T,HD] -> [B,HEADS,T,HD]. */
  repeat?(s: Scope, value: string): string;
  /** Scores [B,HEADS,S,T] from q and repeated k. */
  scores?(s: Scope, q: string, k: string): string;
  /** Masks scores. */
  mask?(s: Scope, scores: string): string;
  softmax?(s: Scope, scores: string): string;
  /** Between the embedding and the projections. */
  before?(s: Scope, x: string): string;
  /** [B,HEADS,S,HD] -> [B,S,HEADS*HD]. */
  merge?(s: Scope, value: string, sizes: Sizes): string;
  readonly cache?: boolean;
  readonly inputs?: readonly ('attention_mask' | 'position_ids')[];
}

export const splitHeads = (s: Scope, value: string, heads: number, { batch, length }: Sizes): string =>
  s.op('Transpose', [s.reshape(value, [batch, length, heads, HD])], { perm: [0, 2, 1, 3] });

export const repeatByExpand = (s: Scope, value: string): string => {
  const [batch, length] = [s.extent(value, 0), s.extent(value, 2)];
  const wide = s.op('Concat', [batch, s.ints(KV), s.ints(HEADS / KV), length, s.ints(HD)], { axis: 0 });
  return s.reshape(s.op('Expand', [s.op('Unsqueeze', [value, s.ints(2)]), wide]), [batch, HEADS, length, HD]);
};

const project =
  (split: NonNullable<Parts['split']>) =>
  (s: Scope, x: string, sizes: Sizes): readonly [string, string, string] => {
    const part = (name: string, heads: number): string =>
      split(s, s.linear(name, x, { from: WIDTH, to: heads * HD }), heads, sizes);
    return [part('q', HEADS), part('k', KV), part('v', KV)];
  };

/** embedding -> attention -> logits. */
export function attentionModel(parts: Parts): WritableModel {
  const builder = new GraphBuilder('f32', 7);
  const s = builder.scope('/m');
  const { cache = false, inputs = [] } = parts;
  const ids = builder.input('input_ids', 'i64', ['batch', 'seq']);
  if (inputs.includes('attention_mask')) builder.input('attention_mask', 'i64', ['batch', cache ? 'total' : 'seq']);
  if (inputs.includes('position_ids')) builder.input('position_ids', 'i64', ['batch', 'seq']);
  if (cache)
    for (const what of ['key', 'value']) {
      builder.input(`past_key_values.0.${what}`, 'f32', ['batch', KV, 'past', HD]);
      builder.output(`present.0.${what}`, ['batch', KV, 'total', HD]);
    }
  builder.output('logits', ['batch', 'seq', VOCAB]);
  const table = builder.weight('embed', [VOCAB, WIDTH], 1);
  const sizes: Sizes = { batch: s.extent(ids, 0), length: s.extent(ids, 1) };
  const embedded = s.op('Gather', [table, ids]);
  const x = parts.before?.(s, embedded) ?? embedded;
  const split = parts.split ?? splitHeads;
  let [q, k, v] = (parts.project ?? project(split))(s, x, sizes);
  if (parts.rotate) [q, k] = [parts.rotate(s.inner('rope.q'), q), parts.rotate(s.inner('rope.k'), k)];
  if (cache) {
    k = s.op('Concat', ['past_key_values.0.key', k], { axis: 2 }, 'present.0.key');
    v = s.op('Concat', ['past_key_values.0.value', v], { axis: -2 }, 'present.0.value');
  }
  const repeat = parts.repeat ?? repeatByExpand;
  const keys = repeat(s.inner('keys'), k);
  const values = repeat(s.inner('values'), v);
  const scores = (parts.scores ?? scaledScores)(s.inner('scores'), q, keys);
  const masked = parts.mask?.(s.inner('mask'), scores) ?? scores;
  const soft = (parts.softmax ?? ((inner, value) => inner.op('Softmax', [value], { axis: -1 })))(s, masked);
  const mixed = s.op('MatMul', [soft, values]);
  const merge: NonNullable<Parts['merge']> =
    parts.merge ??
    ((inner, value, { batch, length }) =>
      inner.reshape(inner.op('Transpose', [value], { perm: [0, 2, 1, 3] }), [batch, length, HEADS * HD]));
  const merged = merge(s, mixed, sizes);
  const out = s.op('Add', [embedded, s.linear('o', merged, { from: HEADS * HD, to: WIDTH })]);
  const head = builder.weight('head', [WIDTH, VOCAB], 0.3);
  builder.scope('/head').op('MatMul', [out, head], {}, 'logits');
  return builder.finish('mini', 17);
}

export const scaledScores = (s: Scope, q: string, k: string): string =>
  s.op('Mul', [s.op('MatMul', [q, s.op('Transpose', [k], { perm: [0, 1, 3, 2] })]), s.scalar(HD ** -0.5)]);

export interface Lifted {
  readonly before: Graph;
  readonly after: Graph;
  readonly roles: Program['roles'];
}

/** Runs the graph passes. */
export function lift(model: WritableModel, batch = 1): Lifted {
  const { graph, roles } = importOnnx(openModelBytes(encodeModelBytes(model)), { bindings: { B: batch } });
  const start: Program = {
    graph,
    roles: roles.byName,
    target: TINY,
    mode: { kind: 'stream', batch, context: 64 },
  };
  return { before: graph, after: runPasses(start, GRAPH_STEPS, QUIET).graph, roles: roles.byName };
}

/** The diagnostics that lifting ends in. */
export function refusal(model: WritableModel, batch = 1): readonly Diagnostic[] {
  try {
    lift(model, batch);
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics;
    throw error;
  }
  throw new Error('the model was lifted');
}

export const opsOf = (graph: Graph, kind: string): readonly Op[] => graph.ops.filter((op) => op.kind === kind);

const LENGTHS = [
  [1, 0, false],
  [5, 0, false],
  [3, 4, false],
  [1, 9, false],
  [6, 2, true],
  [31, 0, false],
  [2, 29, true],
] as const;

/** Both graphs compute the same, at several lengths, pasts and paddings. Padded queries have no defined answer. */
export function expectSame(
  { before, after, roles }: Lifted,
  batch = 1,
  bound = 1e-5,
  lengths: readonly (readonly [sequence: number, past: number, padded: boolean])[] = LENGTHS,
): void {
  const specs = before.inputs.map((v) => ({
    name: before.names[v],
    ...before.types[v],
    role: roles.get(before.names[v]) ?? { kind: 'plain' as const },
  }));
  const hasPast = specs.some(({ role }) => role.kind === 'past');
  let compared = 0;
  for (const [sequence, past, padded] of lengths) {
    const feeds = randomFeeds(specs, {
      batch,
      sequence,
      past: hasPast ? past : 0,
      vocabulary: VOCAB,
      seed: sequence,
    });
    const mask = feeds.get('attention_mask');
    const random = randomStream(sequence, 'mask');
    const total = sequence + (hasPast ? past : 0);
    if (padded && mask)
      for (let i = 0; i < mask.data.length; i++) mask.data[i] = i % total === 0 ? 1 : randomBelow(random, 2);
    const wanted = runGraph(before, feeds);
    const found = runGraph(after, feeds);
    expect([...found.keys()]).toEqual([...wanted.keys()]);
    for (const [name, expected] of wanted) {
      const mine = found.get(name) as Tensor;
      expect({ name, shape: mine.shape }).toEqual({ name, shape: expected.shape });
      const keep = (i: number): boolean => {
        if (!mask || name !== 'logits') return true;
        const row = Math.floor(i / VOCAB);
        return mask.data[Math.floor(row / sequence) * total + (total - sequence) + (row % sequence)] !== 0;
      };
      const kept = (t: Tensor): Tensor => ({ ...t, data: Float32Array.from(t.data).filter((_, i) => keep(i)) });
      const { maxRel, index } = compare(kept(mine), kept(expected));
      if (!(maxRel <= bound)) throw new Error(`${name}[${index}] at S ${sequence}, P ${past}: ${maxRel}`);
      compared += kept(mine).data.length;
    }
  }
  expect(compared).toBeGreaterThan(0);
}
