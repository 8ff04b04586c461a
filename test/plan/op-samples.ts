/** One op of every kind, for plans of `tiny-llama`. The compiler sees to it that none is missing and every field is there. */
import type { CollectiveOp, ProgramOp } from '../../src/ir/program.ts';

type OpNamed<K extends ProgramOp['op']> = K extends CollectiveOp['op']
  ? CollectiveOp & { op: K; node: string }
  : Extract<ProgramOp, { op: K }>;

/** One of each, over tensors 0 (an input, [1, 32]) and `S` (a state): an op that is added to the union must be added here. */
export function samples(S: number): { readonly [K in ProgramOp['op']]: OpNamed<K> } {
  const [x, out, node] = [0, 0, '/node'];
  return {
    embed: { op: 'embed', table: 0, index: 0, out, node },
    gemv: { op: 'gemv', x, weight: 0, out, node },
    unary: { op: 'unary', fn: 'leaky_relu', x, value: 0.1, out, node },
    binary: { op: 'binary', fn: 'min', a: 0, b: 0, out, node },
    sum_squares: { op: 'sum_squares', x, groups: 1, out, node },
    moments: { op: 'moments', x, groups: 1, out, node },
    rms_apply: { op: 'rms_apply', x, sums: 0, gamma: null, groups: 1, epsilon: 1e-5, out, node },
    rms_scale: { op: 'rms_scale', inputs: [x], sums: 0, features: 64, epsilon: 1e-5, outputs: [out], node },
    rms_scale: { op: 'rms_scale', x, sums: 0, features: 32, epsilon: 1e-6, out, node },
    layer_apply: { op: 'layer_apply', x, moments: 0, gamma: 0, beta: null, groups: 1, epsilon: 0, out, node },
    rope: { op: 'rope', x, cos: 0, sin: 0, heads: 4, interleaved: true, out, node },
    append: { op: 'append', x, state: S, node },
    attend: {
      op: 'attend',
      q: 0,
      keys: S,
      values: S,
      mask: null,
      heads: 4,
      kvHeads: 2,
      scale: 0.5,
      causal: false,
      window: 8,
      softcap: 30,
      stats: 0,
      out,
      node,
    },
    softmax_finish: { op: 'softmax_finish', o: 0, stats: 0, heads: 4, out, node },
    shard: { op: 'shard', x, out, node },
    slice: { op: 'slice', x, start: 0, end: 32, out, node },
    select: { op: 'select', x, indices: [31, 0], out, node },
    concat: { op: 'concat', parts: [0, 0], out, node },
    token: { op: 'token', x, index: -1, out, node },
    all_reduce: { op: 'all_reduce', axes: ['y'], combine: 'max', dim: -1, inputs: [0], outputs: [0], node },
    reduce_scatter: {
      op: 'reduce_scatter',
      axes: ['xo', 'xi'],
      combine: 'moments',
      dim: 1,
      inputs: [0],
      outputs: [0],
      node,
    },
    all_gather: { op: 'all_gather', axes: ['xi'], combine: null, dim: 1, inputs: [0], outputs: [0], node },
  };
}
