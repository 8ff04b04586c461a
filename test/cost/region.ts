/** Small region programs for tests of cost, memory and fit. */
import type {
  ComputeOp,
  CollectiveOp,
  Layout,
  MeshAxis,
  RegionProgram,
  RegionShape,
  TensorRole,
} from '../../src/ir/program.ts';
import type { DType } from '../../src/ir/types.ts';

export const X: readonly MeshAxis[] = ['xo', 'xi'];
export const Y: readonly MeshAxis[] = ['y'];

/** Tensors and ops by name, in order. */
export class RegionBuilder {
  readonly tensors: RegionProgram['tensors'][number][] = [];
  readonly ops: RegionProgram['ops'][number][] = [];
  readonly dtype: DType;
  constructor(dtype: DType = 'f16') {
    this.dtype = dtype;
  }
  tensor(
    name: string,
    role: TensorRole,
    shape: readonly number[],
    layout: Partial<Layout>,
    dtype = this.dtype,
  ): number {
    const dims = layout.dims ?? shape.map(() => []);
    return this.tensors.push({ name, role, dtype, shape, layout: { partial: null, ...layout, dims } }) - 1;
  }
  /** Activation [tokens, features] cut by `axes`. */
  act(name: string, features: number, axes: readonly MeshAxis[], role: TensorRole = 'temp'): number {
    return this.tensor(name, role, [1, features], { dims: [[], axes] });
  }
  weight(
    name: string,
    k: number,
    n: number,
    kAxes: readonly MeshAxis[],
    nAxes: readonly MeshAxis[],
    dtype = this.dtype,
  ) {
    return this.tensor(name, 'weight', [k, n], { dims: [kAxes, nAxes] }, dtype);
  }
  op(op: ComputeOp | CollectiveOp): void {
    this.ops.push({ ...op, node: `/op${this.ops.length}` });
  }
  allReduce(x: number, axes: readonly MeshAxis[], out: number): void {
    this.op({ op: 'all_reduce', axes, combine: 'sum', dim: -1, inputs: [x], outputs: [out] });
  }
  build(shape: RegionShape, inputs: readonly number[], outputs: readonly number[], context = 0): RegionProgram {
    const { tensors, ops } = this;
    const weights = [...tensors.keys()].filter((t) => tensors[t].role === 'weight');
    return {
      shape,
      tokens: 1,
      context,
      tensors,
      ops,
      inputs: inputs.map((tensor) => ({ tensor, kind: 'activation' })),
      outputs: [...outputs],
      weights,
      weightSources: weights.map((_, i) => i),
      caches: [],
      results: [],
    };
  }
}

/** x -> relu(x . up) . down -> y, input and output cut along y. */
export function mlp(
  shape: RegionShape,
  dim: number,
  ffn: number,
  dtype: DType = 'f16',
  stored: DType = dtype,
): RegionProgram {
  const b = new RegionBuilder(dtype);
  const x = b.act('x', dim, Y, 'input');
  const up = b.weight('up', dim, ffn, Y, X, stored);
  const down = b.weight('down', ffn, dim, X, Y, stored);
  const owed = b.tensor('h/partial', 'temp', [1, ffn], { dims: [[], X], partial: { combine: 'sum', axes: Y } });
  b.op({ op: 'gemv', x, weights: [up], outputs: [owed] });
  const h = b.act('h', ffn, X);
  b.allReduce(owed, Y, h);
  const r = b.act('relu', ffn, X);
  b.op({ op: 'unary', fn: 'relu', x: h, value: 0, out: r });
  const back = b.tensor('y/partial', 'temp', [1, dim], { dims: [[], Y], partial: { combine: 'sum', axes: X } });
  b.op({ op: 'gemv', x: r, weights: [down], outputs: [back] });
  const y = b.act('y', dim, Y, 'output');
  b.allReduce(back, X, y);
  return b.build(shape, [x], [y]);
}

/** Cyclic keys and values, one attention, the merge down the rows. */
export function attention(
  shape: RegionShape,
  heads: number,
  kvHeads: number,
  width: number,
  context: number,
): RegionProgram {
  const b = new RegionBuilder();
  const cyclic = (name: string) =>
    b.tensor(name, 'state', [context, kvHeads * width], { dims: [['y', 'xi'], ['xo']], cyclic: true });
  const head: readonly MeshAxis[] = ['xo'];
  const [q, k, v] = [
    b.act('q', heads * width, head, 'input'),
    b.act('k', kvHeads * width, head, 'input'),
    b.act('v', kvHeads * width, head, 'input'),
  ];
  const [keys, values] = [cyclic('keys'), cyclic('values')];
  b.op({ op: 'append', x: k, state: keys });
  b.op({ op: 'append', x: v, state: values });
  const pair = (axes: readonly MeshAxis[], out: readonly MeshAxis[], suffix: string) => {
    const partial = axes.length > 0 ? { combine: 'softmax' as const, axes } : null;
    return [
      b.tensor(`stats${suffix}`, 'temp', [1, heads, 2], { dims: [[], head, []], partial }, 'f32'),
      b.tensor(`o${suffix}`, 'temp', [1, heads * width], { dims: [[], out], partial }),
    ] as const;
  };
  const [stats, o] = pair(['y', 'xi'], head, '');
  const shared = { heads, kvHeads, scale: 1, causal: true, window: 0, softcap: 0, mask: null };
  b.op({ op: 'attend', q, keys, values, ...shared, stats, out: o });
  const [statsY, oY] = pair(['xi'], head, '/y');
  b.op({ op: 'all_reduce', axes: ['y'], combine: 'softmax', dim: -1, inputs: [stats, o], outputs: [statsY, oY] });
  const [statsX, oX] = pair([], X, '/x');
  const outputs = [statsX, oX];
  b.op({ op: 'reduce_scatter', axes: ['xi'], combine: 'softmax', dim: 1, inputs: [statsY, oY], outputs });
  const out = b.act('out', heads * width, X, 'output');
  b.op({ op: 'softmax_finish', o: oX, stats: statsX, heads, out });
  return b.build(shape, [q, k, v], [out], context);
}
