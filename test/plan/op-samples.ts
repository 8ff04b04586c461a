/** One op of every kind, for plans of `tiny-llama`. The compiler sees to it that none is missing and every field is there. */
import type { CollectiveOp, ProgramOp } from '../../src/ir/program.ts';
import type { Plan } from '../../src/plan/types.ts';

type OpNamed<K extends ProgramOp['op']> = K extends CollectiveOp['op']
  ? CollectiveOp & { op: K; node: string }
  : Extract<ProgramOp, { op: K }>;

/** One of each, over an activation `A` of 32 features and a state `S`. */
export function samples(A: number, S: number): { readonly [K in ProgramOp['op']]: OpNamed<K> } {
  const [x, out, node] = [A, A, '/node'];
  return {
    embed: { op: 'embed', table: A, index: A, out, node },
    gemv: { op: 'gemv', x, weights: [A], outputs: [out], node },
    unary: { op: 'unary', fn: 'leaky_relu', x, value: 0.1, out, node },
    binary: { op: 'binary', fn: 'min', a: A, b: A, out, node },
    abs_max: { op: 'abs_max', x, out, node },
    sum_squares: { op: 'sum_squares', x, groups: 1, out, node },
    moments: { op: 'moments', x, groups: 1, out, node },
    rms_apply: { op: 'rms_apply', x, sums: A, gamma: null, groups: 1, epsilon: 1e-5, out, node },
    rms_scale: { op: 'rms_scale', inputs: [x], sums: A, features: 64, epsilon: 1e-5, outputs: [out], node },
    layer_apply: { op: 'layer_apply', x, moments: A, gamma: A, beta: null, groups: 1, epsilon: 0, out, node },
    rope: { op: 'rope', x, cos: A, sin: A, heads: 4, interleaved: true, out, node },
    append: { op: 'append', x, state: S, node },
    attend: {
      op: 'attend',
      q: A,
      keys: S,
      values: S,
      mask: null,
      heads: 4,
      kvHeads: 2,
      scale: 0.5,
      causal: false,
      window: 8,
      softcap: 30,
      stats: A,
      out,
      node,
    },
    scores: { op: 'scores', q: x, keys: S, heads: 2, kvHeads: 1, out, node },
    mix: {
      op: 'mix',
      scores: x,
      values: S,
      mask: null,
      heads: 2,
      kvHeads: 1,
      scale: 1,
      causal: true,
      window: 0,
      softcap: 0,
      stats: out,
      out,
      node,
    },
    softmax_finish: { op: 'softmax_finish', o: A, stats: A, heads: 4, out, node },
    shard: { op: 'shard', x, out, node },
    slice: { op: 'slice', x, start: 0, end: 32, out, node },
    select: { op: 'select', x, indices: [31, 0], out, node },
    concat: { op: 'concat', parts: [A, A], out, node },
    token: { op: 'token', x, index: -1, out, node },
    all_reduce: { op: 'all_reduce', axes: ['y'], combine: 'max', dim: -1, inputs: [A], outputs: [A], node },
    reduce_scatter: {
      op: 'reduce_scatter',
      axes: ['xo', 'xi'],
      combine: 'moments',
      dim: 1,
      inputs: [A],
      outputs: [A],
      node,
    },
    all_gather: { op: 'all_gather', axes: ['xi'], combine: null, dim: 1, inputs: [A], outputs: [A], node },
  };
}

/** Tensors of a plan of `tiny-llama` for the samples, and where one of them can stand: the last op of a layer. */
export function placeFor({ templates }: Plan): { readonly A: number; readonly S: number; readonly path: string } {
  const { tensors, ops } = templates[1].program;
  const A = tensors.findIndex(({ role, shape }) => role === 'input' && shape.join() === '1,32');
  const S = tensors.findIndex(({ role }) => role === 'state');
  if (A < 0 || S < 0) throw new Error('the layer of tiny-llama has no activation of 32 features, or no state');
  return { A, S, path: `/templates/1/program/ops/${ops.length - 1}` };
}
