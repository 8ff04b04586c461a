/**
 * cse: computes equal things once.
 *
 * Before  any graph.
 * After   no two ops of one kind, version, operands and attributes, and no two constants of one view of one source
 *         (or, up to 64 elements, of the same contents), save where both are graph outputs.
 * Skips   random ops, and ops with bodies unless the bodies print the same and read the same outer values.
 */
import { type Constant, elementCount } from '../../src/ir/constant.ts';
import type { GraphEdit } from '../../src/ir/edit.ts';
import { type AttrValue, isConstantAttr, isGraphAttr } from '../../src/ir/graph.ts';
import { id, type OpId, type ValueId } from '../../src/ir/ids.ts';
import { FULL_ELEMENTS, printConstant, printGraph } from '../../src/ir/print.ts';
import { isOpaque } from '../../src/ir/sources.ts';
import { definePass } from '../../src/pass/pass.ts';

const RANDOM: ReadonlySet<string> = new Set([
  'Bernoulli',
  'Dropout', // in training mode; drop-identities removes the others
  'Multinomial',
  'RandomNormal',
  'RandomNormalLike',
  'RandomUniform',
  'RandomUniformLike',
]);

/** a op b is b op a, bit for bit. */
const COMMUTES: ReadonlySet<string> = new Set(['Add', 'And', 'Equal', 'Mul', 'Or', 'Xor']);

export default definePass({
  name: 'cse',
  summary: 'compute equal things once',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: {},
  run(program, { edit: begin, count }) {
    const { graph } = program;
    const edit = begin(graph);
    const constantKey = keysOfConstants();
    const firstConstant = new Map<string, ValueId>();
    for (const [value, constant] of graph.constants) {
      const key = constantKey(constant);
      const first = firstConstant.get(key);
      if (first === undefined) firstConstant.set(key, value);
      else if (edit.replaceUses(value, first)) count('constants merged');
    }
    const firstOp = new Map<string, OpId>();
    for (const index of graph.ops.keys()) {
      const op = id<'op'>(index);
      if (RANDOM.has(edit.op(op).kind)) continue;
      const key = keyOf(edit, op, constantKey);
      const first = firstOp.get(key);
      if (first === undefined) firstOp.set(key, op);
      else if (merge(edit, op, first)) count('ops merged');
    }
    return { ...program, graph: edit.finish() };
  },
});

/** True when nothing reads `op` any more. */
function merge(edit: GraphEdit, op: OpId, first: OpId): boolean {
  const kept = edit.op(first).outputs;
  return edit
    .op(op)
    .outputs.map((value, i) => value === null || edit.replaceUses(value, kept[i] as ValueId))
    .every(Boolean);
}

/** Ops have equal keys only if they compute the same. */
function keyOf(edit: GraphEdit, op: OpId, constantKey: (constant: Constant) => string): string {
  const { kind, version, inputs, outputs, attrs } = edit.op(op);
  const operands = inputs.map((v) => v ?? -1);
  if (COMMUTES.has(kind)) operands.sort((a, b) => a - b);
  const captured = edit.readsOf(op).slice(inputs.filter((v) => v !== null).length);
  const given = Object.keys(attrs)
    .sort()
    .map((name) => [name, attrKey(attrs[name], constantKey)]);
  return JSON.stringify([kind, version, operands, captured, outputs.map((v) => v !== null), given]);
}

function attrKey(attr: AttrValue, constantKey: (constant: Constant) => string): unknown {
  if (isConstantAttr(attr)) return { constant: constantKey(attr) };
  if (isGraphAttr(attr)) return { graph: printGraph(attr.graph) };
  // JSON has no -0, NaN and infinities; as text they stay apart.
  if (typeof attr === 'number') return { number: Object.is(attr, -0) ? '-0' : String(attr) };
  return Array.isArray(attr) ? attr.map((item) => attrKey(item, constantKey)) : attr;
}

/** Small constants by contents, others by the view and the identity of their source. */
function keysOfConstants(): (constant: Constant) => string {
  const numbers = new Map<object, number>();
  const keyOfConstant = (constant: Constant): string => {
    const { dtype, shape, stored, source, offset, strides, quantization: q, sparsity } = constant;
    const small = elementCount(shape) <= FULL_ELEMENTS && !isOpaque(source) && stored !== 'string';
    if (small) return printConstant(constant);
    const number = numbers.get(source) ?? numbers.size;
    numbers.set(source, number);
    const zeros = typeof q?.zeros === 'object' ? keyOfConstant(q.zeros) : q?.zeros;
    const groups = q && [keyOfConstant(q.scales), zeros, q.block, q.phase, q.rounded];
    return JSON.stringify([dtype, shape, stored, number, offset, strides, groups, sparsity]);
  };
  return keyOfConstant;
}
