/**
 * Ops that write updates into a copy of their data: ScatterElements (and its old name Scatter), ScatterND,
 * TensorScatter. Not views in general, since a reduction computes; without one known values still follow.
 */
import { rowMajor } from '../ir/constant.ts';
import { isKnown } from '../ir/dim.ts';
import { sizeOf, type Tensor, type TensorData } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { normalAxis, printShape, splitAt } from './support/axes.ts';
import { stored } from './support/elementwise.ts';
import { badValue, unsupported } from './support/fault.ts';
import { eachOffset, wrapIndex } from './support/index.ts';
import { numbersAt, tensorAt, typeAt } from './support/inputs.ts';
import { movedValues, moveTensors } from './support/move.ts';

type Reduce = (old: number, update: number) => number;

const REDUCTIONS: Readonly<Record<string, Reduce>> = {
  none: (_, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  min: (old, update) => Math.min(old, update),
  max: (old, update) => Math.max(old, update),
};

const reductionOf = (context: InferContext | RunContext): string => context.attrs.string('reduction', 'none');

/** `data` after `write` has been called with a reducing store. */
function scattered(
  context: RunContext,
  op: string,
  write: (updates: TensorData, put: (at: number, value: number) => void) => void,
  updatesInput = 2,
): Tensor[] {
  const data = tensorAt(context, 0);
  const name = reductionOf(context);
  const reduce = REDUCTIONS[name] ?? unsupported(op, `reduction ${name}`);
  const sources = [data, tensorAt(context, updatesInput)];
  const out = moveTensors(sources, data.shape, ([old, updates], to) => {
    to.set(old);
    write(updates, (at, value) => {
      to[at] = reduce(to[at], value);
    });
  });
  if (name !== 'none') stored(out.dtype, out.data);
  return [out];
}

function withValues(def: Omit<OpDef, 'trait' | 'dataInputs'>, dataInputs: readonly number[]): OpDef {
  return defineOp({
    ...def,
    trait: 'compute',
    infer(context) {
      const inferred = def.infer(context);
      if (reductionOf(context) !== 'none') return inferred;
      return { ...inferred, ...movedValues({ ...def, dataInputs }, context, inferred.types) };
    },
  });
}

const scatterElements = (name: string, since: readonly number[]) =>
  withValues(
    {
      domain: '',
      name,
      since,
      infer(context: InferContext) {
        const type = typeAt(context, 0);
        const rank = type.shape.length;
        normalAxis(context.attrs.int('axis', 0), rank, context);
        for (const input of [1, 2]) {
          const { shape } = typeAt(context, input);
          if (shape.length !== rank)
            context.mismatch({ input, expected: `rank ${rank}`, found: `rank ${shape.length}` });
        }
        return { types: [type] };
      },
      run(context) {
        const { shape } = tensorAt(context, 0);
        const indices = tensorAt(context, 1);
        const axis = normalAxis(context.attrs.int('axis', 0), shape.length);
        const strides = rowMajor(shape);
        const along = strides[axis];
        strides[axis] = 0;
        return scattered(context, name, (updates, put) =>
          eachOffset(indices.shape, strides, (offset, i) =>
            put(offset + wrapIndex(name, indices.data[i], shape[axis]) * along, updates[i]),
          ),
        );
      },
    },
    [0, 2],
  );

const scatterNd = withValues(
  {
    domain: '',
    name: 'ScatterND',
    since: [11, 13, 16, 18],
    infer(context: InferContext) {
      const type = typeAt(context, 0);
      const indices = typeAt(context, 1).shape;
      const depth = indices.at(-1);
      if (depth === undefined || !isKnown(depth) || depth > type.shape.length) {
        context.mismatch({
          input: 1,
          expected: `a last dim of at most ${type.shape.length}`,
          found: `shape ${printShape(indices)}`,
        });
      }
      return { types: [type] };
    },
    run(context) {
      const { shape } = tensorAt(context, 0);
      const indices = tensorAt(context, 1);
      const depth = indices.shape[indices.shape.length - 1];
      const strides = rowMajor(shape);
      const inner = sizeOf(shape.slice(depth));
      const picks = sizeOf(indices.shape.slice(0, -1));
      return scattered(context, 'ScatterND', (updates, put) => {
        for (let p = 0; p < picks; p++) {
          let start = 0;
          for (let k = 0; k < depth; k++) {
            start += wrapIndex('ScatterND', indices.data[p * depth + k], shape[k]) * strides[k];
          }
          for (let i = 0; i < inner; i++) put(start + i, updates[p * inner + i]);
        }
      });
    },
  },
  [0, 2],
);

/** Writes `update` into a cache at a position per batch row; `circular` wraps at the cache's end. */
const tensorScatter = withValues(
  {
    domain: '',
    name: 'TensorScatter',
    since: [24],
    infer: (context) => ({ types: [typeAt(context, 0)] }),
    run(context) {
      const { shape } = tensorAt(context, 0);
      const update = tensorAt(context, 1);
      const axis = normalAxis(context.attrs.int('axis', -2), shape.length);
      const circular = context.attrs.string('mode', 'linear') === 'circular';
      const { outer, extent, inner } = splitAt(shape, axis);
      const length = update.shape[axis];
      const starts = numbersAt(context, 2) ?? new Array<number>(shape[0]).fill(0);
      const rowsPerBatch = outer / Math.max(1, shape[0]);
      const write = (updates: TensorData, put: (at: number, value: number) => void) => {
        for (let o = 0; o < outer; o++) {
          for (let s = 0; s < length; s++) {
            const row = starts[Math.floor(o / rowsPerBatch)] + s;
            if (!circular && row >= extent) badValue('TensorScatter', `expected rows below ${extent}, found ${row}`);
            const at = (o * extent + (row % extent)) * inner;
            for (let i = 0; i < inner; i++) put(at + i, updates[(o * length + s) * inner + i]);
          }
        }
      };
      return scattered(context, 'TensorScatter', write, 1);
    },
  },
  [0, 1],
);

export const ops = [
  scatterElements('ScatterElements', [11, 13, 16, 18]),
  scatterElements('Scatter', [9, 11]),
  scatterNd,
  tensorScatter,
];
