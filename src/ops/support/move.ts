/**
 * Moving elements without computing on them. One strided copy serves Transpose, Slice, Expand, Tile and the block
 * rearrangements; and because a mover never looks at an element, the same kernel moves strings (as indices into a
 * pool) and, at compile time, symbolic dims: that is how shape code is propagated through every view op.
 */
import { rowMajor } from '../../ir/constant.ts';
import { isKnown, type Dim } from '../../ir/dim.ts';
import type { TensorType } from '../../ir/types.ts';
import { allocate, fromNumbers, sizeOf, type Tensor, type TensorData, tensor } from '../../tensor/tensor.ts';
import { defineOp, type InferContext, type Inferred, type OpDef, type RunContext } from '../op.ts';
import { knownDims } from './axes.ts';
import { knownValues, tensorAt } from './inputs.ts';

/** Values of more elements than this are not shape code and are not propagated. */
const MOST_VALUES = 4096;

/** A strided view of some data: element (i, j, ..) is at `offset + i*strides[0] + ..`. Strides may be 0 or negative. */
export interface View {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** Copies `view` of `from` into `to`, row-major, starting at `at`. */
export function copyView(from: TensorData, view: View, to: TensorData, at = 0): void {
  const dims: number[] = [];
  const strides: number[] = [];
  for (const [d, extent] of view.shape.entries()) {
    if (extent === 0) return;
    if (extent === 1) continue;
    const last = dims.length - 1;
    if (last >= 0 && strides[last] === view.strides[d] * extent) {
      dims[last] *= extent;
      strides[last] = view.strides[d];
    } else {
      dims.push(extent);
      strides.push(view.strides[d]);
    }
  }
  const length = dims.pop() ?? 1;
  const step = strides.pop() ?? 1;
  const index = dims.map(() => 0);
  const rows = sizeOf(dims);
  let source = view.offset;
  let out = at;
  for (let row = 0; row < rows; row++) {
    if (step === 1 && length > 16) to.set(from.subarray(source, source + length), out);
    else if (step === 0) to.fill(from[source], out, out + length);
    else for (let i = 0, s = source; i < length; i++, s += step) to[out + i] = from[s];
    out += length;
    for (let d = dims.length - 1; d >= 0; d--) {
      index[d]++;
      source += strides[d];
      if (index[d] < dims[d]) break;
      source -= strides[d] * dims[d];
      index[d] = 0;
    }
  }
}

/**
 * The tensor that `kernel` makes by moving elements of `sources` (one dtype) into a fresh array of `shape`.
 * Elements that the kernel leaves alone are zero, or the empty string.
 */
export function moveTensors(
  sources: readonly Tensor[],
  shape: readonly number[],
  kernel: (from: readonly TensorData[], to: TensorData) => void,
): Tensor {
  const count = sizeOf(shape);
  const { dtype } = sources[0];
  if (dtype !== 'string') {
    const to = allocate(dtype, count);
    const from = sources.map((s) => s.data);
    kernel(from, to);
    return tensor(dtype, shape, to);
  }
  const pool = [''];
  const from = sources.map((s) => Int32Array.from(s.strings ?? [], (text) => pool.push(text) - 1));
  const to = new Int32Array(count);
  kernel(from, to);
  return { dtype, shape, data: new Uint8Array(0), strings: Array.from(to, (i) => pool[i]) };
}

/** {@link moveTensors} of one source through one strided view. */
export const moveView = (source: Tensor, view: View): Tensor =>
  moveTensors([source], view.shape, ([from], to) => copyView(from, view, to));

/** All of a dense tensor. */
export const denseView = (shape: readonly number[]): View => ({ shape, strides: rowMajor(shape), offset: 0 });

/** The same elements, in the same order, under another shape; undefined where the strides of `source` do not allow it. */
export function reshapedView({ shape, strides, offset }: View, to: readonly number[]): View | undefined {
  if (sizeOf(to) === 0) return { ...denseView(to), offset };
  const kept = shape.flatMap((n, d) => (n === 1 ? [] : [d]));
  const out = to.map(() => 1);
  // Runs of dims of equal size on both sides, outermost first: inside a run the old dims must lie as one.
  for (let o = 0, t = 0; o < kept.length; ) {
    const first = t;
    let [have, wanted] = [shape[kept[o]], to[t]];
    while (have !== wanted) {
      if (wanted < have) wanted *= to[++t];
      else {
        if (strides[kept[o]] !== strides[kept[o + 1]] * shape[kept[o + 1]]) return undefined;
        have *= shape[kept[++o]];
      }
    }
    for (let d = t, step = strides[kept[o]]; d >= first; step *= to[d--]) out[d] = step;
    o++;
    t++;
  }
  return { shape: to, strides: out, offset };
}

/** The same elements under another shape; shares the data. */
export const reshaped = (source: Tensor, shape: readonly number[]): Tensor => ({ ...source, shape });

function indexTensor(shape: readonly Dim[], values: readonly Dim[], pool: Dim[]): Tensor | undefined {
  const known = knownDims(shape);
  if (known === undefined || sizeOf(known) !== values.length) return undefined;
  return fromNumbers(
    'i64',
    known,
    values.map((v) => pool.push(v) - 1),
  );
}

/**
 * Values of the outputs of a moving op when those of its data inputs are known: runs the op's kernel on indices into
 * the list of dims. Index 0 is the number 0, which is what kernels leave in places they do not write.
 */
export function movedValues(
  def: Pick<OpDef, 'run' | 'dataInputs'>,
  context: InferContext,
  types: readonly TensorType[],
): Pick<Inferred, 'values'> {
  const isData = (i: number) => def.dataInputs === 'all' || (def.dataInputs ?? [0]).includes(i);
  if (types.some((t) => sizeOf(knownDims(t.shape) ?? [MOST_VALUES + 1]) > MOST_VALUES)) return {};
  const pool: Dim[] = [0];
  const inputs: (Tensor | undefined)[] = [];
  for (const [i, type] of context.inputs.entries()) {
    if (type === undefined) {
      inputs.push(undefined);
      continue;
    }
    const values = isData(i) ? context.valueOf(i) : knownValues(context, i);
    const known = knownDims(type.shape);
    if (values === undefined || known === undefined || pool.length > MOST_VALUES) return {};
    const made = isData(i)
      ? indexTensor(type.shape, values, pool)
      : fromNumbers(type.dtype, known, values.filter(isKnown));
    if (made === undefined) return {};
    inputs.push(made);
  }
  const runGraph = () => {
    throw new Error('a view op runs no graph');
  };
  const { version, attrs, outputCount } = context;
  const outputs = def.run({ version, attrs, inputs, outputCount, runGraph });
  return { values: outputs.map((out) => Array.from(out.data, (i) => pool[i])) };
}

/** {@link defineView} of an op whose outputs are strided views of input 0. */
export const defineStrided = (def: Omit<OpDef, 'trait' | 'run'> & { view: NonNullable<OpDef['view']> }): OpDef =>
  defineView({
    ...def,
    run(context) {
      const source = tensorAt(context, 0);
      const views = def.view(context, denseView(source.shape)) ?? [];
      return views.map((view) => moveView(source, view));
    },
  });

/** {@link defineView} of an op that gives input 0 another shape: shares its data. */
export const defineReshape = (
  def: Omit<OpDef, 'trait' | 'run' | 'view'> & {
    shape(context: RunContext, from: readonly number[]): readonly number[];
  },
): OpDef =>
  defineView({
    ...def,
    run(context) {
      const source = tensorAt(context, 0);
      return [reshaped(source, def.shape(context, source.shape))];
    },
    view(context, source) {
      const view = reshapedView(source, def.shape(context, source.shape));
      return view && [view];
    },
  });

/** `defineOp` for ops that only move elements: known values follow the op's own kernel. */
export function defineView(def: Omit<OpDef, 'trait'>): OpDef {
  return defineOp({
    ...def,
    trait: 'view',
    infer(context) {
      const inferred = def.infer(context);
      return { ...inferred, ...movedValues(def, context, inferred.types) };
    },
  });
}
