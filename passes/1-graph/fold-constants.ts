/**
 * fold-constants: computes at compile time what does not depend on the inputs.
 *
 * Before  any graph.
 * After   no op has only constant inputs, and no integer op has a result that shape inference knows; views and
 *         float casts of weights are constants that still read the model's own bytes (no copy is made).
 * Skips   results larger than `maxElements` that are not views, ops with bodies, random sources.
 */
import {
  bytesSource,
  type Constant,
  denseConstant,
  elementCount,
  reshapeConstant,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import { isKnown } from '../../src/ir/dim.ts';
import { isConstantAttr, isGraphAttr, type Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { isFloat } from '../../src/ir/types.ts';
import { runOp } from '../../src/exec/reference.ts';
import { inferKnowledge } from '../../src/frontend/infer.ts';
import { definePass } from '../../src/pass/pass.ts';
import { pack } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

export default definePass({
  name: 'fold-constants',
  summary: 'compute what does not depend on the inputs',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'exact',
  options: { maxElements: 4_194_304 },
  run(program, { options, edit: begin, count }) {
    const { graph, values } = inferKnowledge(program.graph);
    const edit = begin(graph);
    const constants = new Map<ValueId, Constant>(graph.constants);
    const put = (value: ValueId, constant: Constant): void => {
      constants.set(value, constant);
      edit.replaceUses(value, edit.addConstant(graph.names[value], constant));
      count('values folded');
    };
    for (const op of graph.ops) {
      const known = op.outputs.map((v) => (v === null ? undefined : shapeResult(graph.types[v], values.get(v))));
      for (const [i, v] of op.outputs.entries()) {
        const tensor = known[i];
        if (v !== null && tensor) put(v, constantOf(graph.names[v], tensor));
      }
      if (known.every((k, i) => k !== undefined || op.outputs[i] === null)) continue;
      if (op.kind === 'Constant' && isConstantAttr(op.attrs.value)) {
        put(op.outputs[0] as ValueId, op.attrs.value);
        continue;
      }
      if (Object.values(op.attrs).some(isGraphAttr)) continue;
      // Constants have bytes: what makes strings stays an op.
      if (op.outputs.some((v) => v !== null && graph.types[v].dtype === 'string')) continue;
      const inputs = op.inputs.map((v) => (v === null ? undefined : constants.get(v)));
      if (op.inputs.some((v, i) => v !== null && inputs[i] === undefined)) continue;
      const view = viewOf(op, inputs);
      if (view) {
        put(op.outputs[0] as ValueId, view);
        continue;
      }
      const size = op.outputs.reduce((n, v) => n + (v === null ? 0 : sizeOf(graph.types[v].shape)), 0);
      const read = inputs.reduce((n, c) => n + (c ? elementCount(c.shape) : 0), 0);
      if (!(size <= options.maxElements && read <= 4 * options.maxElements)) continue;
      const results = runOp(
        op,
        inputs.map((c) => (c ? readConstant(c) : undefined)),
      );
      for (const [i, v] of op.outputs.entries()) if (v !== null) put(v, constantOf(graph.names[v], results[i]));
    }
    return { ...program, graph: edit.finish() };
  },
});

const sizeOf = (shape: readonly unknown[]): number =>
  shape.reduce<number>((n, d) => (typeof d === 'number' ? n * d : Number.NaN), 1);

/** The elements that inference knows, as a tensor of the value's type. */
function shapeResult(
  type: { dtype: Tensor['dtype']; shape: readonly unknown[] },
  known: readonly unknown[] | undefined,
): Tensor | undefined {
  if (known === undefined || isFloat(type.dtype) || !known.every((d): d is number => isKnown(d as number)))
    return undefined;
  const shape = type.shape.filter((d): d is number => typeof d === 'number');
  if (shape.length !== type.shape.length || elementCount(shape) !== known.length) return undefined;
  return { dtype: type.dtype, shape, data: Float64Array.from(known) };
}

const constantOf = (name: string, { dtype, shape, data }: Tensor): Constant =>
  denseConstant(dtype, shape, bytesSource(name, pack(dtype, data)));

/** Views of a constant without reading it. */
function viewOf(op: Op, inputs: readonly (Constant | undefined)[]): Constant | undefined {
  const [data] = inputs;
  if (data === undefined) return undefined;
  const ints = (i: number): number[] | undefined => {
    const c = inputs[i];
    return c && Array.from(readConstant(c).data);
  };
  const rank = data.shape.length;
  switch (op.kind) {
    case 'Identity':
      return data;
    case 'Cast':
      return castOf(op, data);
    case 'Transpose': {
      const perm = op.attrs.perm as readonly number[] | undefined;
      return transposeConstant(data, perm ?? data.shape.map((_, i) => rank - 1 - i));
    }
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Flatten': {
      if (elementCount(data.shape) <= 64) return undefined;
      const shape = runOp(op, [
        { dtype: 'bool', shape: data.shape, data: new Uint8Array(elementCount(data.shape)) },
        ...inputs.slice(1).map((c) => c && readConstant(c)),
      ])[0].shape;
      return reshapeConstant(data, shape);
    }
    case 'Slice': {
      if (op.version < 10) return undefined;
      const [starts, ends, axes, steps] = [1, 2, 3, 4].map(ints);
      if (starts === undefined || ends === undefined || steps?.some((s) => s !== 1)) return undefined;
      const at = axes ?? starts.map((_, i) => i);
      return starts.reduce<Constant>((c, start, i) => {
        const axis = at[i] < 0 ? at[i] + rank : at[i];
        const n = c.shape[axis];
        const clamp = (x: number): number => Math.min(Math.max(x < 0 ? x + n : x, 0), n);
        return sliceConstant(c, axis, clamp(start), Math.max(clamp(start), clamp(ends[i])));
      }, data);
    }
    default:
      return undefined;
  }
}

/** f16 or bf16 -> f32 is read as f32 from the bytes as they are; narrowing rounds, so it is computed. */
function castOf(op: Op, data: Constant): Constant | undefined {
  const widening = op.attrs.to === 1 && (data.dtype === 'f16' || data.dtype === 'bf16') && data.dtype === data.stored;
  return widening ? { ...data, dtype: 'f32' } : undefined;
}
