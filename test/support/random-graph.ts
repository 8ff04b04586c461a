/** Random graphs for property tests: well-formed, typed loosely (no op is run), with bodies and odd names. */
import fc from 'fast-check';
import {
  bytesSource,
  type Constant,
  denseConstant,
  elementCount,
  groupCount,
  type Quantized,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import { addDims, type Dim, isKnown, mulDims, sym } from '../../src/ir/dim.ts';
import type { Attrs, AttrValue, Graph, Op } from '../../src/ir/graph.ts';
import { id, type ValueId } from '../../src/ir/ids.ts';
import { generatedSource } from '../../src/ir/sources.ts';
import { bytesFor, DTYPE_BITS, type DType, type TensorType } from '../../src/ir/types.ts';

const dtypes = (Object.keys(DTYPE_BITS) as DType[]).filter((dtype) => dtype !== 'string');
const dtype = fc.constantFrom(...dtypes);
const word = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[a-z/][\w./-]{0,6}$/) },
  { weight: 1, arbitrary: fc.string({ maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom('_', 'onnx::Add_12', 'a by b', '//', '"', '%x', 'true', 'const', '0') },
);
const symbol = fc.oneof(fc.constantFrom('S', 'batch', 'past.len'), fc.constantFrom('floor(S/2)', 'a b', 'max(a,b)'));
const dim: fc.Arbitrary<Dim> = fc.oneof(
  { weight: 3, arbitrary: fc.nat({ max: 9 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(symbol, symbol, fc.integer({ min: -3, max: 3 }))
      .map(([a, b, n]) => addDims(addDims(mulDims(sym(a), n === 0 ? 1 : n), sym(b)), n))
      .map((d) => (isKnown(d) ? Math.abs(d) : d)),
  },
);
const type: fc.Arbitrary<TensorType> = fc.record({ dtype, shape: fc.array(dim, { maxLength: 3 }) });

/** Scales and zero points for groups of 1 to 4 elements a dim, the last one ragged. */
function quantized(codes: Constant, seed: number): Quantized {
  const block = codes.shape.map((_, d) => 1 + ((seed >> (2 * d)) & 3));
  const groups = codes.shape.map((n, d) => groupCount(n, block[d]));
  const some = (what: string, as: DType): Constant => {
    const bytes = new Uint8Array(bytesFor(as, elementCount(groups)));
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(seed + i, 40503) >>> 8;
    return denseConstant(as, groups, bytesSource(`w${seed}.${what}`, bytes));
  };
  const zeros = seed % 3 === 0 ? some('zeros', codes.stored) : seed % 3 === 1 ? 0 : 7.5;
  const phase = codes.shape.map(() => 0);
  const quantization = { scales: some('scales', 'f16'), zeros, block, phase, rounded: 'f16' } as const;
  const view: Quantized = { ...codes, dtype: seed % 2 === 0 ? 'f16' : 'f32', quantization };
  return seed % 5 === 0 ? { ...view, sparsity: 'csc8' } : view;
}

/** Dense bytes, views of them, lazy casts, generated contents, codes with scales; small and large. */
export const constant: fc.Arbitrary<Constant> = fc
  .tuple(dtype, dtype, fc.array(fc.nat({ max: 9 }), { maxLength: 3 }), fc.nat(), fc.nat({ max: 5 }))
  .map(([seen, stored, shape, seed, form]) => {
    const count = elementCount(shape);
    const bytes = new Uint8Array(bytesFor(stored, count));
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(seed + i, 2654435761) >>> 24;
    const dense = denseConstant(stored, shape, bytesSource(`w${seed}`, bytes));
    if (form === 1) return { ...dense, dtype: seen };
    if (form === 2) return transposeConstant(dense, [...shape.keys()].reverse());
    if (form === 4) return quantized(dense, seed);
    if (form === 5 && shape.length > 0) return sliceConstant(quantized(dense, seed), 0, shape[0] >> 1, shape[0]);
    if (form === 3) return denseConstant('f16', shape, generatedSource('normal', { seed }, 'f16', count));
    return dense;
  });

const attr: fc.Arbitrary<AttrValue> = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.string({ maxLength: 5 }),
  fc.boolean(),
  fc.array(fc.integer(), { maxLength: 3 }),
  fc.array(fc.double(), { minLength: 1, maxLength: 3 }),
  fc.array(fc.string({ maxLength: 3 }), { minLength: 1, maxLength: 3 }),
  constant,
);
const attrs: fc.Arbitrary<Attrs> = fc.dictionary(word, attr, { maxKeys: 3 });

interface Plan {
  readonly name: string;
  readonly inputs: readonly TensorType[];
  readonly constants: readonly Constant[];
  readonly ops: readonly {
    readonly kind: string;
    readonly version: number;
    readonly picks: readonly number[];
    readonly outputs: readonly (TensorType | null)[];
    readonly attrs: Attrs;
    readonly node: string;
    readonly by: readonly string[];
    readonly body: Plan | null;
  }[];
  readonly outputs: readonly number[];
  readonly names: readonly string[];
}

const planOf = (depth: number): fc.Arbitrary<Plan> =>
  fc.record({
    name: word,
    inputs: fc.array(type, { minLength: 1, maxLength: 3 }),
    constants: fc.array(constant, { maxLength: 3 }),
    ops: fc.array(
      fc.record({
        kind: fc.constantFrom('Add', 'MatMul', 'If', 'wafc.linear', 'com.microsoft.Gelu'),
        version: fc.constantFrom(1, 13, 17),
        picks: fc.array(fc.integer({ min: -1, max: 30 }), { maxLength: 3 }),
        outputs: fc.array(fc.option(type, { freq: 5 }), { maxLength: 3 }),
        attrs,
        node: word,
        by: fc.array(fc.constantFrom('cse', 'fold-constants'), { maxLength: 2 }),
        body: depth === 0 ? fc.constant(null) : fc.option(planOf(depth - 1), { freq: 6 }),
      }),
      { maxLength: 6 },
    ),
    outputs: fc.array(fc.nat({ max: 30 }), { maxLength: 3 }),
    names: fc.array(word, { maxLength: 12 }),
  });

/** Makes the plan a graph; `outer` are names that a body may capture. */
function build(plan: Plan, outer: readonly string[]): Graph {
  const names: string[] = [];
  const types: TensorType[] = [];
  const add = (t: TensorType): ValueId => {
    let name = plan.names[names.length] ?? `v${names.length}`;
    while (names.includes(name) || outer.includes(name)) name += 'x';
    names.push(name);
    types.push(t);
    return id<'value'>(names.length - 1);
  };
  const inputs = plan.inputs.map(add);
  const captures = new Map<ValueId, string>();
  for (const name of outer.slice(0, 2)) captures.set(add({ dtype: 'f32', shape: [2] }), name);
  const constants = new Map<ValueId, Constant>();
  for (const c of plan.constants) constants.set(add({ dtype: c.dtype, shape: c.shape }), c);
  const ops: Op[] = plan.ops.map((op) => {
    const picked = op.picks.map((n) => (n < 0 ? null : id<'value'>(n % names.length)));
    const visible = [...names];
    const body = op.body === null ? {} : { body: { graph: build(op.body, visible) } };
    const outputs = op.outputs.map((t) => (t === null ? null : add(t)));
    const origin = { node: op.node, by: op.by };
    return { kind: op.kind, version: op.version, inputs: picked, outputs, attrs: { ...op.attrs, ...body }, origin };
  });
  const outputs = plan.outputs.map((n) => id<'value'>(n % names.length));
  return { name: plan.name, ops, types, names, constants, inputs, outputs, captures };
}

export const randomGraph: fc.Arbitrary<Graph> = planOf(1).map((plan) => build(plan, []));
