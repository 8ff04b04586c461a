/**
 * fold-constants: computes at compile time what does not depend on the inputs.
 *
 * Before  any graph.
 * After   no op has only constant inputs, and no integer op has a result that shape inference knows; views,
 *         dequantizations and float casts of weights are constants that still read the model's own bytes (no copy is made).
 * Skips   results larger than `maxElements` that are not views, ops with bodies, random sources.
 *
 * Quantized weights stay codes. What is not a view of them makes them dense: a remark names the op.
 */
import type { Diagnostic } from '../../src/diag/diagnostic.ts';
import {
  bytesSource,
  type Constant,
  denseConstant,
  elementCount,
  isQuantized,
  reshapeConstant,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import { isKnown } from '../../src/ir/dim.ts';
import { isConstantAttr, isGraphAttr, type Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { type DType, isFloat, type TensorType } from '../../src/ir/types.ts';
import { runOp } from '../../src/exec/reference.ts';
import { inferKnowledge } from '../../src/frontend/infer.ts';
import { definePass } from '../../src/pass/pass.ts';
import { pack } from '../../src/tensor/pack.ts';
import { linearView } from '../../src/tensor/quantized-views.ts';
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
  run(program, { options, edit: begin, count, report }) {
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
      const views = viewsOf(op, inputs, graph.types);
      if (views) {
        for (const [i, v] of op.outputs.entries()) if (v !== null) put(v, views[i]);
        continue;
      }
      const size = op.outputs.reduce((n, v) => n + (v === null ? 0 : sizeOf(graph.types[v].shape)), 0);
      const read = inputs.reduce((n, c) => n + (c ? elementCount(c.shape) : 0), 0);
      if (!(size <= options.maxElements && read <= 4 * options.maxElements)) continue;
      if (inputs.some((c) => c && isQuantized(c))) report(densified(op, graph.names[op.outputs[0] as ValueId]));
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

const densified = ({ kind, origin }: Op, name: string): Diagnostic => ({
  code: 'compile/densified',
  severity: 'remark',
  message: `${kind} of quantized weights has no form with codes: ${name} is stored dense`,
  node: origin.node,
});

/** All outputs as views of constants, without reading weights. */
function viewsOf(
  op: Op,
  inputs: readonly (Constant | undefined)[],
  types: readonly TensorType[],
): readonly Constant[] | undefined {
  if (op.kind === 'Split' && inputs[0] !== undefined && isQuantized(inputs[0])) return partsOf(op, inputs[0], types);
  const view = viewOf(op, inputs, types);
  return view && [view];
}

/** Split: slices as long as inference says. */
function partsOf(op: Op, data: Constant, types: readonly TensorType[]): readonly Constant[] | undefined {
  const { axis = 0 } = op.attrs as { axis?: number };
  const at = axis < 0 ? axis + data.shape.length : axis;
  const parts: Constant[] = [];
  let start = 0;
  for (const v of op.outputs) {
    const extent = v === null ? undefined : types[v].shape[at];
    if (typeof extent !== 'number') return undefined;
    parts.push(sliceConstant(data, at, start, start + extent));
    start += extent;
  }
  return parts;
}

/** Views of a constant without reading it. */
function viewOf(op: Op, inputs: readonly (Constant | undefined)[], types: readonly TensorType[]): Constant | undefined {
  const [data, scale, zero] = inputs;
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
      return castOf(data, types[op.outputs[0] as ValueId].dtype);
    case 'DequantizeLinear':
    case 'com.microsoft.DequantizeLinear': {
      const { axis = 1, block_size: block = 0 } = op.attrs as { axis?: number; block_size?: number };
      const form = { axis: axis < 0 ? axis + rank : axis, block };
      return scale && linearView(data, scale, zero, form, types[op.outputs[0] as ValueId].dtype);
    }
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

/**
 * f16 or bf16 -> f32 is read as f32 from the bytes as they are; narrowing rounds, so it is computed. Codes are decoded to
 * f32 anyway: what is rounded to is a property of theirs.
 */
function castOf(data: Constant, to: DType): Constant | undefined {
  const isNarrow = (dtype: DType): boolean => dtype === 'f16' || dtype === 'bf16';
  if (isQuantized(data)) {
    const { rounded } = data.quantization;
    if (to === 'f32' || to === rounded) return { ...data, dtype: to };
    return isNarrow(to) && rounded === 'f32'
      ? { ...data, dtype: to, quantization: { ...data.quantization, rounded: to } }
      : undefined;
  }
  return to === 'f32' && isNarrow(data.dtype) && data.dtype === data.stored ? { ...data, dtype: 'f32' } : undefined;
}
