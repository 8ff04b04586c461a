/**
 * drop-identities: removes ops that hand their operand on, where types and constants prove it.
 *
 * Before  types are inferred.
 * After   gone: Identity; Dropout as inference runs it; casts to the type a value has, and through a wider type and
 *         back; reshapes, slices, pads, expansions and transposes that keep every element in place; `x*1`, `x/1`,
 *         `x-0`, `x^1`, integer `x+0`; one-operand Concat, Sum, Max, Min, Mean. Chains of transposes, casts and reshapes are one.
 * Skips   what only run-time values could prove; float `x+0`, which turns -0 into 0; an op between a graph input and a
 *         graph output, since the host knows both names.
 */
import { type Constant, elementCount } from '../../src/ir/constant.ts';
import type { GraphEdit } from '../../src/ir/edit.ts';
import type { Op } from '../../src/ir/graph.ts';
import { id, type OpId, type ValueId } from '../../src/ir/ids.ts';
import { isOpaque } from '../../src/ir/sources.ts';
import { type DType, DTYPE_BITS, equalTypes, isFloat } from '../../src/ir/types.ts';
import { definePass } from '../../src/pass/pass.ts';
import { readConstant } from '../../src/tensor/read.ts';

type Found = ValueId | null | undefined;
/** The operand that the first output always equals, or nothing. May rewrite the op to read through a chain. */
type Rule = (edit: GraphEdit, op: OpId) => Found;
type Parts = Pick<Op, 'kind' | 'version' | 'inputs' | 'outputs' | 'attrs'>;

export default definePass({
  name: 'drop-identities',
  summary: 'remove ops that hand their operand on',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program, { edit: begin, count }) {
    const { graph } = program;
    const edit = begin(graph);
    for (const index of graph.ops.keys()) {
      const op = id<'op'>(index);
      const { kind, outputs } = edit.op(op);
      const rule = Object.hasOwn(RULES, kind) ? RULES[kind] : undefined;
      const [output] = outputs;
      if (rule === undefined || output === null || output === undefined) continue;
      const same = rule(edit, op);
      if (same !== null && same !== undefined && edit.replaceUses(output, same)) count(`${kind} dropped`);
    }
    return { ...program, graph: edit.finish() };
  },
});

const firstInput: Rule = (edit, op) => edit.op(op).inputs[0];

/** The first operand, when it has the type of the result: for ops that could only repeat or drop elements. */
const sameType: Rule = (edit, op) => (keepsType(edit, edit.op(op), 0) ? edit.op(op).inputs[0] : undefined);

const onlyOperand: Rule = (edit, op) => (edit.op(op).inputs.length === 1 ? edit.op(op).inputs[0] : undefined);

/** The operand beside a constant that changes nothing. `sides`: where the constant may stand. */
const neutral =
  (value: number, sides: readonly (0 | 1)[]): Rule =>
  (edit, op) => {
    const parts = edit.op(op);
    const side = sides.find(
      (s) => isFilledWith(edit.constantOf(parts.inputs[s]), value) && keepsType(edit, parts, 1 - s),
    );
    return side === undefined ? undefined : parts.inputs[1 - side];
  };

/** `x + 0` turns a float -0 into 0; `x + -0` does not. */
const neutralSum: Rule = (edit, op) => {
  const output = edit.op(op).outputs[0] as ValueId;
  return neutral(isFloat(edit.typeOf(output).dtype) ? -0 : 0, [0, 1])(edit, op);
};

const dropout: Rule = (edit, op) => {
  const { version, inputs, outputs } = edit.op(op);
  const [, mask] = outputs;
  const usesMask = mask !== null && mask !== undefined && (edit.usersOf(mask).length > 0 || edit.isOutput(mask));
  // Before version 7 an attribute chose the mode; since 12 an input does.
  const trains = version < 7 || (inputs[2] != null && !isFilledWith(edit.constantOf(inputs[2]), 0));
  return usesMask || trains ? undefined : inputs[0];
};

const slice: Rule = (edit, op) => {
  const steps = edit.op(op).inputs[4];
  // A slice backwards can keep the type as well.
  return steps == null || isFilledWith(edit.constantOf(steps), 1) ? sameType(edit, op) : undefined;
};

const pad: Rule = (edit, op) => {
  const { version, attrs, inputs } = edit.op(op);
  const pads = version < 11 ? attrs.pads : undefined;
  const none = Array.isArray(pads) ? pads.every((p) => p === 0) : isFilledWith(edit.constantOf(inputs[1]), 0);
  return none ? inputs[0] : undefined;
};

const RESHAPES: ReadonlySet<string> = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** Elements stay in order through any chain of reshapes: equal types at its ends make it nothing. */
const reshape: Rule = (edit, op) => {
  const { kind, inputs, outputs, attrs } = edit.op(op);
  let start = inputs[0];
  for (let at: Found = start; at != null; ) {
    if (equalTypes(edit.typeOf(at), edit.typeOf(outputs[0] as ValueId))) return at;
    start = at;
    const producer = edit.producerOf(at);
    at = producer !== undefined && RESHAPES.has(edit.op(producer).kind) ? edit.op(producer).inputs[0] : null;
  }
  const target = elementsOf(edit.constantOf(inputs[1]));
  // A 0 in the target means a dim of the operand, which changes when the chain is cut.
  const free = target !== undefined && (attrs.allowzero === 1 || !Array.from(target).includes(0));
  if (kind === 'Reshape' && free && start !== inputs[0]) edit.rewriteOp(op, { inputs: [start, ...inputs.slice(1)] });
  return undefined;
};

const transpose: Rule = (edit, op) => {
  const parts = edit.op(op);
  const [input] = parts.inputs;
  if (input == null) return undefined;
  let perm = permOf(edit, parts);
  let from: ValueId = input;
  const producer = edit.producerOf(input);
  if (producer !== undefined && edit.op(producer).kind === 'Transpose') {
    const inner = edit.op(producer);
    const first = permOf(edit, inner);
    perm = perm.map((p) => first[p]);
    from = inner.inputs[0] as ValueId;
  }
  // Dims of extent 1 may go anywhere: no element moves while the others keep their order.
  const { shape } = edit.typeOf(from);
  const moved = perm.filter((p) => shape[p] !== 1);
  const inPlace = moved.every((p, i) => i === 0 || p > moved[i - 1]);
  if (inPlace && equalTypes(edit.typeOf(from), edit.typeOf(parts.outputs[0] as ValueId))) return from;
  if (from !== input) edit.rewriteOp(op, { inputs: [from], attrs: { perm } });
  return undefined;
};

function permOf(edit: GraphEdit, { inputs, attrs }: Parts): readonly number[] {
  const rank = edit.typeOf(inputs[0] as ValueId).shape.length;
  const reversed = Array.from({ length: rank }, (_, d) => rank - 1 - d);
  return Array.isArray(attrs.perm) ? attrs.perm.filter((p) => typeof p === 'number') : reversed;
}

const cast: Rule = (edit, op) => {
  const { inputs, outputs } = edit.op(op);
  const [input] = inputs;
  if (input == null) return undefined;
  const to = edit.typeOf(outputs[0] as ValueId).dtype;
  if (edit.typeOf(input).dtype === to) return input;
  const producer = edit.producerOf(input);
  if (producer === undefined || !['Cast', 'CastLike'].includes(edit.op(producer).kind)) return undefined;
  const [origin] = edit.op(producer).inputs;
  if (origin == null || !holdsAll(edit.typeOf(origin).dtype, edit.typeOf(input).dtype)) return undefined;
  if (edit.typeOf(origin).dtype === to) return origin;
  edit.rewriteOp(op, { inputs: [origin, ...inputs.slice(1)] });
  return undefined;
};

/** Bits of significand, the hidden one included, and of exponent. */
const FLOATS: Partial<Record<DType, readonly [significand: number, exponent: number]>> = {
  f64: [53, 11],
  f32: [24, 8],
  f16: [11, 5],
  bf16: [8, 8],
};

/** True when every value of `from` is a value of `to`. */
function holdsAll(from: DType, to: DType): boolean {
  const target = FLOATS[to];
  if (from === 'bool') return to !== 'string' && (!isFloat(to) || target !== undefined);
  if (isFloat(from)) {
    const source = FLOATS[from];
    return source !== undefined && target !== undefined && source.every((bits, i) => bits <= target[i]);
  }
  const integer = /^([iu])(\d+)$/.exec(from);
  if (integer === null) return false;
  const bits = DTYPE_BITS[from];
  if (target !== undefined) return bits <= target[0]; // each of the four reaches 2^significand
  const other = /^([iu])\d+$/.exec(to);
  if (other === null) return false;
  if (integer[1] === other[1]) return bits <= DTYPE_BITS[to];
  return integer[1] === 'u' && bits < DTYPE_BITS[to];
}

function keepsType(edit: GraphEdit, { inputs, outputs }: Parts, index: number): boolean {
  const [input, output] = [inputs[index], outputs[0]];
  return input != null && output != null && equalTypes(edit.typeOf(input), edit.typeOf(output));
}

/**
 * Shape operands and scalars. Vectors are weights: what they hold must not decide the structure (a layer whose gain is all
 * ones is still like the others), and they may not be there when shapes are compiled.
 */
const MOST_ELEMENTS = 16;

const elementsOf = (constant: Constant | undefined): ArrayLike<number> | undefined =>
  constant === undefined || elementCount(constant.shape) > MOST_ELEMENTS || isOpaque(constant.source)
    ? undefined
    : readConstant(constant).data;

function isFilledWith(constant: Constant | undefined, value: number): boolean {
  const elements = elementsOf(constant);
  if (elements === undefined) return false;
  for (let i = 0; i < elements.length; i++) if (!Object.is(elements[i], value)) return false;
  return true;
}

const RULES: Readonly<Record<string, Rule>> = {
  Identity: firstInput,
  Dropout: dropout,
  Cast: cast,
  CastLike: cast,
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  Expand: sameType,
  Tile: sameType,
  Slice: slice,
  Pad: pad,
  Transpose: transpose,
  Add: neutralSum,
  Mul: neutral(1, [0, 1]),
  Div: neutral(1, [1]),
  Sub: neutral(0, [1]),
  Pow: neutral(1, [1]),
  Concat: onlyOperand,
  Sum: onlyOperand,
  Max: onlyOperand,
  Min: onlyOperand,
  Mean: onlyOperand,
};
