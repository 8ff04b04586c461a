/** Views that reorder or repeat elements: Transpose, Expand, Tile, DepthToSpace, SpaceToDepth, Trilu, ReverseSequence. */
import { type Dim, divDims, isKnown, mulDims, printDim } from '../ir/dim.ts';
import { rowMajor } from '../ir/constant.ts';
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import type { InferContext, RunContext } from './op.ts';
import { normalAxis, printShape } from './support/axes.ts';
import { broadcastNumbers, broadcastShapes } from './support/broadcast.ts';
import { badValue } from './support/fault.ts';
import { lengthOf, numbersAt, tensorAt, typeAt } from './support/inputs.ts';
import { copyView, defineStrided, defineView, moveTensors, moveView, reshaped } from './support/move.ts';

const permOf = (context: InferContext | RunContext, rank: number): readonly number[] =>
  context.attrs.ints(
    'perm',
    Array.from({ length: rank }, (_, d) => rank - 1 - d),
  );

/** `source` with its dims permuted: dim `d` of the result is dim `perm[d]` of the source. */
export function transposed(source: Tensor, perm: readonly number[]): Tensor {
  const strides = rowMajor(source.shape);
  return moveView(source, { shape: perm.map((p) => source.shape[p]), strides: perm.map((p) => strides[p]), offset: 0 });
}

const transpose = defineStrided({
  domain: '',
  name: 'Transpose',
  since: [1, 13, 21, 23, 24],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const perm = permOf(context, shape.length);
    if (perm.length !== shape.length || [...perm].sort((a, b) => a - b).some((p, d) => p !== d)) {
      context.mismatch({ expected: `perm: a permutation of 0..${shape.length - 1}`, found: `[${perm}]` });
    }
    return { types: [{ dtype, shape: perm.map((p) => shape[p]) }] };
  },
  view(context, { shape, strides, offset }) {
    const perm = permOf(context, shape.length);
    return [{ shape: perm.map((p) => shape[p]), strides: perm.map((p) => strides[p]), offset }];
  },
});

const expand = defineStrided({
  domain: '',
  name: 'Expand',
  since: [8, 13],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const target = context.valueOf(1);
    if (target !== undefined) {
      const joined = broadcastShapes(shape, target);
      if (joined) return { types: [{ dtype, shape: joined }] };
      context.mismatch({
        input: 0,
        expected: `a shape that broadcasts to ${printShape(target)}`,
        found: printShape(shape),
      });
    }
    const length = lengthOf(context, 1);
    if (length === undefined)
      context.mismatch({ input: 1, expected: 'a target of known length', found: 'a symbolic one' });
    const rank = Math.max(shape.length, length);
    // A dim that is known to be above 1 cannot grow; every other may.
    const own = (d: number): Dim => shape[d - (rank - shape.length)] ?? 1;
    const out = Array.from({ length: rank }, (_, d) =>
      own(d) === 1 || !isKnown(own(d)) ? context.fresh('expand') : own(d),
    );
    return { types: [{ dtype, shape: out }] };
  },
  view(context, source) {
    const target = numbersAt(context, 1) ?? [];
    if (broadcastShapes(source.shape, target) === undefined) {
      badValue('Expand', `expected a target that [${source.shape}] broadcasts with, found [${target}]`);
    }
    const shape = broadcastNumbers(source.shape, target);
    const added = shape.length - source.shape.length;
    const strides = shape.map((_, d) => (d < added || source.shape[d - added] === 1 ? 0 : source.strides[d - added]));
    return [{ shape, strides, offset: source.offset }];
  },
});

const tile = defineView({
  domain: '',
  name: 'Tile',
  since: [6, 13],
  infer(context: InferContext) {
    const { dtype, shape } = typeAt(context, 0);
    const repeats = context.valueOf(1);
    const length = lengthOf(context, 1);
    if (length !== undefined && length !== shape.length) {
      context.mismatch({ input: 1, expected: `${shape.length} repeats`, found: String(length) });
    }
    return {
      types: [{ dtype, shape: shape.map((n, d) => (repeats ? mulDims(n, repeats[d]) : context.fresh('tile'))) }],
    };
  },
  run(context) {
    const source = tensorAt(context, 0);
    const repeats = numbersAt(context, 1) ?? [];
    // Each dim n repeated r times is the pair (r, n) with stride 0 along r.
    const strides = rowMajor(source.shape);
    const view = {
      shape: source.shape.flatMap((n, d) => [repeats[d], n]),
      strides: source.shape.flatMap((_, d) => [0, strides[d]]),
      offset: 0,
    };
    return [
      reshaped(
        moveView(source, view),
        source.shape.map((n, d) => n * repeats[d]),
      ),
    ];
  },
});

/** Shape [N,C,H,W] with C multiplied by `c` and H, W by `hw`; a factor below 1 must divide exactly. */
function scaledImage(context: InferContext, block: number, toSpace: boolean) {
  const { dtype, shape } = typeAt(context, 0);
  if (shape.length !== 4) context.mismatch({ input: 0, expected: 'rank 4', found: `rank ${shape.length}` });
  const over = (dim: Dim, by: number) =>
    divDims(dim, by) ??
    (isKnown(dim)
      ? context.mismatch({ input: 0, expected: `a multiple of ${by}`, found: printDim(dim) })
      : context.fresh('block'));
  const [n, c, h, w] = shape;
  const area = block * block;
  const out = toSpace
    ? [n, over(c, area), mulDims(h, block), mulDims(w, block)]
    : [n, mulDims(c, area), over(h, block), over(w, block)];
  return { types: [{ dtype, shape: out }] };
}

const depthToSpace = defineView({
  domain: '',
  name: 'DepthToSpace',
  since: [1, 11, 13],
  infer: (context) => scaledImage(context, context.attrs.int('blocksize'), true),
  run(context) {
    const source = tensorAt(context, 0);
    const [n, c, h, w] = source.shape;
    const b = context.attrs.int('blocksize');
    const depth = c / (b * b);
    const out = [n, depth, h * b, w * b];
    // DCR: channels are (block row, block column, depth); CRD: (depth, block row, block column).
    const rows =
      context.attrs.string('mode', 'DCR') === 'DCR'
        ? transposed(reshaped(source, [n, b, b, depth, h, w]), [0, 3, 4, 1, 5, 2])
        : transposed(reshaped(source, [n, depth, b, b, h, w]), [0, 1, 4, 2, 5, 3]);
    return [reshaped(rows, out)];
  },
});

const spaceToDepth = defineView({
  domain: '',
  name: 'SpaceToDepth',
  since: [1, 13],
  infer: (context) => scaledImage(context, context.attrs.int('blocksize'), false),
  run(context) {
    const source = tensorAt(context, 0);
    const [n, c, h, w] = source.shape;
    const b = context.attrs.int('blocksize');
    const parts = transposed(reshaped(source, [n, c, h / b, b, w / b, b]), [0, 3, 5, 1, 2, 4]);
    return [reshaped(parts, [n, c * b * b, h / b, w / b])];
  },
});

const trilu = defineView({
  domain: '',
  name: 'Trilu',
  since: [14],
  infer: (context) => ({ types: [typeAt(context, 0)] }),
  run(context) {
    const source = tensorAt(context, 0);
    const upper = context.attrs.int('upper', 1) === 1;
    const k = numbersAt(context, 1)?.[0] ?? 0;
    const [rows, cols] = source.shape.slice(-2);
    const matrices = sizeOf(source.shape.slice(0, -2));
    const kernel = moveTensors([source], source.shape, ([from], to) => {
      for (let m = 0; m < matrices * rows; m++) {
        const diagonal = Math.min(cols, Math.max(0, (m % rows) + k + (upper ? 0 : 1)));
        const [start, end] = upper ? [diagonal, cols] : [0, diagonal];
        for (let i = m * cols + start; i < m * cols + end; i++) to[i] = from[i];
      }
    });
    return [kernel];
  },
});

const reverseSequence = defineView({
  domain: '',
  name: 'ReverseSequence',
  since: [10],
  infer(context: InferContext) {
    return { types: [typeAt(context, 0)] };
  },
  run(context) {
    const source = tensorAt(context, 0);
    const lengths = numbersAt(context, 1) ?? [];
    const { shape } = source;
    const time = normalAxis(context.attrs.int('time_axis', 0), shape.length);
    const batch = normalAxis(context.attrs.int('batch_axis', 1), shape.length);
    const strides = rowMajor(shape);
    const rest = { shape: [1, ...shape.slice(2)], strides: [0, ...strides.slice(2)] };
    if (time + batch !== 1)
      badValue('ReverseSequence', `expected time and batch axes 0 and 1, found ${time} and ${batch}`);
    return [
      moveTensors([source], shape, ([from], to) => {
        for (let b = 0; b < shape[batch]; b++) {
          for (let t = 0; t < shape[time]; t++) {
            const at = (step: number) => b * strides[batch] + step * strides[time];
            copyView(from, { ...rest, offset: at(t < lengths[b] ? lengths[b] - 1 - t : t) }, to, at(t));
          }
        }
      }),
    ];
  },
});

export const ops = [transpose, expand, tile, depthToSpace, spaceToDepth, trilu, reverseSequence];
