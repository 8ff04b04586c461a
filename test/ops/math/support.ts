/** Running and inferring one op at a time. */
import type { AttrValue } from '../../../src/ir/graph.ts';
import { type Dim, sym } from '../../../src/ir/dim.ts';
import type { DType, TensorType } from '../../../src/ir/types.ts';
import { attrReader } from '../../../src/ops/attrs.ts';
import type { Inferred, OpDef } from '../../../src/ops/op.ts';
import { ops as activation } from '../../../src/ops/activation.ts';
import { ops as alongAxis } from '../../../src/ops/along-axis.ts';
import { ops as cast } from '../../../src/ops/cast.ts';
import { ops as conv } from '../../../src/ops/conv.ts';
import { ops as einsum } from '../../../src/ops/einsum.ts';
import { ops as logic } from '../../../src/ops/logic.ts';
import { ops as binary } from '../../../src/ops/math-binary.ts';
import { ops as unary } from '../../../src/ops/math-unary.ts';
import { ops as variadic } from '../../../src/ops/math-variadic.ts';
import { ops as matmul } from '../../../src/ops/matmul.ts';
import { ops as norm } from '../../../src/ops/norm.ts';
import { ops as normChannel } from '../../../src/ops/norm-channel.ts';
import { ops as pool } from '../../../src/ops/pool.ts';
import { ops as quantize } from '../../../src/ops/quantize.ts';
import { ops as quantizeMatmul } from '../../../src/ops/quantize-matmul.ts';
import { ops as reduce } from '../../../src/ops/reduce.ts';
import { roundTo } from '../../../src/tensor/pack.ts';
import { fromNumbers, sizeOf, type Tensor } from '../../../src/tensor/tensor.ts';

const BY_NAME = new Map<string, OpDef>();
for (const family of [
  activation,
  alongAxis,
  binary,
  cast,
  conv,
  einsum,
  logic,
  matmul,
  norm,
  normChannel,
  pool,
  quantize,
  quantizeMatmul,
  reduce,
  unary,
  variadic,
]) {
  for (const def of family) BY_NAME.set(def.name, def);
}

export interface Call {
  readonly op: string;
  readonly version: number;
  readonly attrs?: Readonly<Record<string, AttrValue>>;
  readonly outputs?: number;
}

export function defOf(name: string): OpDef {
  const def = BY_NAME.get(name);
  if (def === undefined) throw new Error(`no op ${name}`);
  return def;
}

const reader = ({ op, attrs = {} }: Call) => attrReader({ kind: op, attrs, origin: { node: op, by: [] } });

/** Outputs of one op. */
export function run(call: Call, inputs: readonly (Tensor | undefined)[]): readonly Tensor[] {
  return defOf(call.op).run({
    version: call.version,
    attrs: reader(call),
    inputs,
    outputCount: call.outputs ?? 1,
    runGraph: () => [],
  });
}

/** Types of one op. A mismatch throws an Error whose message is `input expected found`. */
export function infer(
  call: Call,
  inputs: readonly (TensorType | undefined)[],
  values: Readonly<Record<number, readonly Dim[]>> = {},
): Inferred {
  let next = 0;
  return defOf(call.op).infer({
    version: call.version,
    attrs: reader(call),
    inputs,
    outputCount: call.outputs ?? 1,
    valueOf: (i) => values[i],
    fresh: (hint) => sym(`${hint}.${next++}`),
    mismatch({ input, expected, found }) {
      throw new Error(`${input ?? '-'}: expected ${expected}, found ${found}`);
    },
  });
}

/** The types of concrete tensors. */
export const typesOf = (inputs: readonly (Tensor | undefined)[]): (TensorType | undefined)[] =>
  inputs.map((t) => t && { dtype: t.dtype, shape: t.shape });

export const f32 = (shape: readonly number[], values: ArrayLike<number>): Tensor => fromNumbers('f32', shape, values);
export const i64 = (shape: readonly number[], values: ArrayLike<number>): Tensor => fromNumbers('i64', shape, values);

/** A seeded stream of numbers in [0, 1). */
export function randoms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A tensor of seeded values in [low, high); whole numbers for integer types. */
export function filled(dtype: DType, shape: readonly number[], seed: number, low = -2, high = 2): Tensor {
  const next = randoms(seed);
  const real = dtype.startsWith('f') || dtype === 'bf16';
  const values = Array.from({ length: sizeOf(shape) }, () => low + next() * (high - low));
  const out = fromNumbers(dtype, shape, real ? values : values.map(Math.floor));
  if (out.data instanceof Float32Array) roundTo(dtype, out.data);
  return out;
}
