/** If, Loop and Scan. Bodies run in the executor, which also resolves the outer values that they read. */
import { rowMajor } from '../ir/constant.ts';
import { type Dim, equalDims, isKnown } from '../ir/dim.ts';
import type { Graph } from '../ir/graph.ts';
import { printType, type TensorType } from '../ir/types.ts';
import { fromNumbers, type Tensor, type TensorData, zeros } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type RunContext } from './op.ts';
import { normalAxis, splitAt } from './support/axes.ts';
import { badValue, unsupported } from './support/fault.ts';
import { knownValues, tensorAt, typeAt } from './support/inputs.ts';
import { moveTensors, moveView } from './support/move.ts';

const outputTypes = (graph: Graph): TensorType[] => graph.outputs.map((v) => graph.types[v]);

/** Bodies have the inputs and outputs that their op feeds and hands on. */
function expectCount(context: InferContext, what: string, expected: number, found: number): void {
  if (found !== expected) context.mismatch({ expected: `${expected} ${what}`, found: String(found) });
}

/** One type for two ways to output `output`: dims that differ are unknown. */
function join(context: InferContext, a: TensorType, b: TensorType, output: number): TensorType {
  if (a.dtype !== b.dtype)
    context.mismatch({ expected: `${printType(a)} on both ways to output ${output}`, found: printType(b) });
  if (a.shape.length !== b.shape.length) {
    unsupported(
      'If or Loop',
      `a value that is ${printType(a)} or ${printType(b)}: ranks must be known at compile time`,
    );
  }
  return { dtype: a.dtype, shape: a.shape.map((d, i) => (equalDims(d, b.shape[i]) ? d : context.fresh('join'))) };
}

const conditional = defineOp({
  domain: '',
  name: 'If',
  since: [1, 11, 13, 16, 19, 21, 23, 24],
  trait: 'control-flow',
  infer(context) {
    const known = knownValues(context, 0)?.[0];
    const thenTypes = outputTypes(context.attrs.graph('then_branch'));
    const elseTypes = outputTypes(context.attrs.graph('else_branch'));
    expectCount(context, 'outputs of then_branch', context.outputCount, thenTypes.length);
    expectCount(context, 'outputs of else_branch', context.outputCount, elseTypes.length);
    if (known !== undefined) return { types: known !== 0 ? thenTypes : elseTypes };
    return { types: thenTypes.map((type, i) => join(context, type, elseTypes[i], i)) };
  },
  run(context) {
    const { data } = tensorAt(context, 0);
    if (data.length !== 1) badValue('If', `expected a condition of 1 element, found ${data.length}`);
    return context.runGraph(context.attrs.graph(data[0] !== 0 ? 'then_branch' : 'else_branch'), []);
  },
});

/** Slice `index` of `source` along `axis`, without that axis. */
function sliceAt(source: Tensor, axis: number, index: number): Tensor {
  const strides = rowMajor(source.shape);
  const drop = (list: readonly number[]) => list.toSpliced(axis, 1);
  return moveView(source, { shape: drop(source.shape), strides: drop(strides), offset: index * strides[axis] });
}

/** `parts` side by side along a new `axis`; `type` gives dtype and dims when there are no parts (unknown dims as 0). */
function stack(parts: readonly Tensor[], axis: number, type: TensorType): Tensor {
  if (parts.length === 0) {
    const dims = type.shape.map((d) => (isKnown(d) ? d : 0));
    return zeros(type.dtype, dims.toSpliced(axis < 0 ? axis + dims.length + 1 : axis, 0, 0));
  }
  const [first] = parts;
  const odd = parts.find((p) => p.shape.some((n, d) => n !== first.shape[d]));
  if (odd) badValue('Loop', `expected equal shapes from all iterations, found [${first.shape}] and [${odd.shape}]`);
  const shape = first.shape.toSpliced(normalAxis(axis, first.shape.length + 1), 0, parts.length);
  const { outer, extent, inner } = splitAt(shape, normalAxis(axis, shape.length));
  const kernel = (from: readonly TensorData[], to: TensorData) => {
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < extent; i++) {
        to.set(from[i].subarray(o * inner, (o + 1) * inner), (o * extent + i) * inner);
      }
    }
  };
  return moveTensors(parts, shape, kernel);
}

function runLoop(context: RunContext): Tensor[] {
  const body = context.attrs.graph('body');
  const limit = context.inputs[0]?.data[0] ?? Number.POSITIVE_INFINITY;
  let state = context.inputs.slice(2).map((_, i) => tensorAt(context, i + 2));
  const scanned: Tensor[][] = body.outputs.slice(1 + state.length).map(() => []);
  let running = (context.inputs[1]?.data[0] ?? 1) !== 0;
  for (let i = 0; running && i < limit; i++) {
    const iteration = fromNumbers('i64', body.types[body.inputs[0]]?.shape.length === 1 ? [1] : [], [i]);
    const outputs = context.runGraph(body, [iteration, fromNumbers('bool', [], [1]), ...state]);
    running = outputs[0].data[0] !== 0;
    for (const [s, part] of outputs.slice(1 + state.length).entries()) scanned[s].push(part);
    state = outputs.slice(1, 1 + state.length);
  }
  const types = outputTypes(body).slice(1 + state.length);
  return [...state, ...scanned.map((parts, i) => stack(parts, 0, types[i]))];
}

const loop = defineOp({
  domain: '',
  name: 'Loop',
  since: [1, 11, 13, 16, 19, 21, 23, 24],
  trait: 'control-flow',
  infer(context) {
    const graph = context.attrs.graph('body');
    const body = outputTypes(graph);
    const carried = context.inputs.slice(2).map((_, i) => typeAt(context, i + 2));
    expectCount(context, 'inputs of body', 2 + carried.length, graph.inputs.length);
    expectCount(context, 'outputs of body', 1 + Math.max(context.outputCount, carried.length), body.length);
    const count = context.fresh('trip');
    const scans = body.slice(1 + carried.length);
    return {
      types: [
        ...carried.map((type, i) => join(context, type, body[i + 1], i)),
        ...scans.map(({ dtype, shape }) => ({ dtype, shape: [count, ...shape] })),
      ],
    };
  },
  run: runLoop,
});

/** The two kinds of inputs and outputs of a Scan body, and the axes along which it steps. */
function scanParts(context: InferContext | RunContext) {
  const { attrs } = context;
  const body = attrs.graph('body');
  const scanInputs = attrs.int('num_scan_inputs');
  const states = context.inputs.length - scanInputs;
  const scanOutputs = body.outputs.length - states;
  const none = (count: number) => new Array<number>(count).fill(0);
  return {
    body,
    states,
    scanInputs,
    inAxes: attrs.ints('scan_input_axes', none(scanInputs)),
    inBackwards: attrs.ints('scan_input_directions', none(scanInputs)),
    outAxes: attrs.ints('scan_output_axes', none(scanOutputs)),
    outBackwards: attrs.ints('scan_output_directions', none(scanOutputs)),
  };
}

function runScan(context: RunContext): Tensor[] {
  const { body, states, inAxes, inBackwards, outAxes, outBackwards } = scanParts(context);
  let state = context.inputs.slice(0, states).map((_, i) => tensorAt(context, i));
  const sources = inAxes.map((axis, i) => {
    const source = tensorAt(context, states + i);
    return { source, axis: normalAxis(axis, source.shape.length), backwards: inBackwards[i] === 1 };
  });
  const length = sources[0].source.shape[sources[0].axis];
  const scanned: Tensor[][] = outAxes.map(() => []);
  for (let step = 0; step < length; step++) {
    const slices = sources.map(({ source, axis, backwards }) =>
      sliceAt(source, axis, backwards ? length - 1 - step : step),
    );
    const outputs = context.runGraph(body, [...state, ...slices]);
    state = outputs.slice(0, states);
    for (const [i, parts] of scanned.entries()) parts.push(outputs[states + i]);
  }
  const types = outputTypes(body).slice(states);
  const results = scanned.map((parts, i) =>
    stack(outBackwards[i] === 1 ? parts.toReversed() : parts, outAxes[i], types[i]),
  );
  return [...state, ...results];
}

const scan = defineOp({
  domain: '',
  name: 'Scan',
  since: [9, 11, 16, 19, 21, 23, 24],
  trait: 'control-flow',
  infer(context) {
    const { body, states, inAxes, outAxes } = scanParts(context);
    const types = outputTypes(body);
    expectCount(context, 'inputs of body', context.inputs.length, body.inputs.length);
    expectCount(context, 'outputs of body', Math.max(context.outputCount, states), types.length);
    const first = typeAt(context, states).shape;
    const length: Dim = first[normalAxis(inAxes[0], first.length, context)];
    const results = types.slice(states).map(({ dtype, shape }, i) => {
      const axis = normalAxis(outAxes[i], shape.length + 1, context);
      return { dtype, shape: shape.toSpliced(axis, 0, length) };
    });
    return { types: [...types.slice(0, states).map((_, i) => typeAt(context, i)), ...results] };
  },
  run: runScan,
});

export const ops = [conditional, loop, scan];
