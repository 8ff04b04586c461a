/**
 * Scales on inputs of linear layers, folded into what computes those inputs, so that the model stays the same function: a norm's gain and
 * bias, or the outputs of a linear layer (through a product with a gate, a ReLU, or attention whose every head has its own values).
 */
import { elementCount } from '../ir/constant.ts';
import type { GraphEdit } from '../ir/edit.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { bytesSource, type Constant, denseConstant } from '../ir/constant.ts';
import { type Linear, type Use } from '../eval/linears.ts';
import { pack } from '../tensor/pack.ts';
import { readConstant } from '../tensor/read.ts';
import type { Wave } from '../eval/walk.ts';

/** What takes the scales in. */
export type FoldTarget =
  | { readonly kind: 'norm'; readonly op: OpId }
  | { readonly kind: 'linear'; readonly linear: Linear };

const NORMS: ReadonlySet<string> = new Set(['wafc.rmsnorm', 'wafc.layernorm']);
/** Attention reads values here. */
const VALUE_INPUT = 2;

/** Where scales on the inputs of a wave can go; undefined where nothing computes them that could take scales in. */
export function foldTargetOf(
  graph: Graph,
  wave: Wave,
  uses: ReadonlyMap<ValueId, readonly Use[]>,
  linears: readonly Linear[],
): FoldTarget | undefined {
  const readers = new Set(wave.linears.map(({ op }) => graph.ops[op]));
  if (
    graph.outputs.includes(wave.x) ||
    !(uses.get(wave.x) ?? []).every(({ op, input }) => input === 0 && readers.has(op))
  )
    return undefined;
  return producerOf(graph, wave.x, uses, linears);
}

/** The op behind `value` that can scale its features; `value` must have one use. */
function producerOf(
  graph: Graph,
  value: ValueId,
  uses: ReadonlyMap<ValueId, readonly Use[]>,
  linears: readonly Linear[],
): FoldTarget | undefined {
  const index = graph.ops.findIndex((op) => op.outputs[0] === value);
  const op = graph.ops[index];
  if (op === undefined) return undefined;
  const behind = (input: number): FoldTarget | undefined => {
    const v = op.inputs[input];
    const only = v !== null && !graph.outputs.includes(v) && (uses.get(v) ?? []).length === 1;
    return only ? producerOf(graph, v, uses, linears) : undefined;
  };
  if (NORMS.has(op.kind)) {
    const hasGain = [op.inputs[1], op.inputs[2]].every((v) => v === undefined || v === null || graph.constants.has(v));
    return op.attrs.groups === 1 && hasGain ? { kind: 'norm', op: index as OpId } : undefined;
  }
  if (op.kind === 'wafc.linear') {
    const linear = linears.find((l) => l.op === index);
    const isPlain = linear !== undefined && (linear.bias === null || graph.constants.has(linear.bias));
    return isPlain ? { kind: 'linear', linear } : undefined;
  }
  // relu(s x) = s relu(x) for s > 0.
  if (op.kind === 'Relu') return behind(0);
  // Of gate * up, the factor that is linear takes the scales.
  if (op.kind === 'Mul') {
    const same = op.inputs.every((v) => v !== null && graph.types[v].shape.at(-1) === graph.types[value].shape.at(-1));
    return same ? [0, 1].map(behind).find((found) => found?.kind === 'linear') : undefined;
  }
  // Outputs of a head are sums of its values; with shared values (GQA) the features do not correspond.
  if (op.kind === 'wafc.attention' && op.attrs.heads === op.attrs.kvHeads && isLocal(op)) return behind(VALUE_INPUT);
  return undefined;
}

/** Without a cache: values of an outside cache would not be scaled. */
const isLocal = ({ inputs, outputs }: Op): boolean => !inputs[4] && !outputs[2];

/** Divides what a target computes by `scales`. */
export function foldInto(edit: GraphEdit, graph: Graph, target: FoldTarget, scales: Float32Array): void {
  const inverse = scales.map((s) => 1 / s);
  if (target.kind === 'linear') {
    const { weight, bias } = target.linear;
    scaleConstant(edit, graph, weight, (values) => values.map((w, i) => w * inverse[i % inverse.length]));
    if (bias !== null) scaleConstant(edit, graph, bias, (values) => values.map((b, i) => b * inverse[i]));
    return;
  }
  const [x, gain, offset] = graph.ops[target.op].inputs;
  if (gain === undefined || gain === null) {
    const [type] = [graph.types[x as ValueId]];
    const made = edit.addConstant(`${graph.names[x as ValueId]}.gain`, vector('gain', type.dtype, inverse));
    edit.rewriteOp(target.op, { inputs: [x, made, ...(offset === undefined ? [] : [offset])] });
  } else scaleConstant(edit, graph, gain, (values) => values.map((g, i) => g * inverse[i]));
  if (offset !== undefined && offset !== null)
    scaleConstant(edit, graph, offset, (values) => values.map((b, i) => b * inverse[i]));
}

/** Multiplies the rows of a layer's weight, its inputs, by `scales`. */
export function scaleInputs(edit: GraphEdit, graph: Graph, { weight, constant }: Linear, scales: Float32Array): void {
  const [, columns] = constant.shape;
  scaleConstant(edit, graph, weight, (values) => values.map((w, i) => w * scales[Math.floor(i / columns)]));
}

/** Puts other values in the place of a constant, as its edit has it by now. */
function scaleConstant(
  edit: GraphEdit,
  graph: Graph,
  value: ValueId,
  change: (values: Float32Array) => Float32Array,
): void {
  const constant = edit.constantOf(value);
  if (constant === undefined) throw new Error(`${graph.names[value]} is no constant`);
  const { data } = readConstant(constant);
  const values = change(data instanceof Float32Array ? data : Float32Array.from(data));
  const { dtype, shape } = constant;
  if (values.length !== elementCount(shape)) throw new Error(`${graph.names[value]}: ${values.length} values`);
  edit.setConstant(value, denseConstant(dtype, shape, bytesSource(graph.names[value], pack(dtype, values))));
}

const vector = (name: string, dtype: Constant['dtype'], values: Float32Array): Constant =>
  denseConstant(dtype, [values.length], bytesSource(name, pack(dtype, values)));
