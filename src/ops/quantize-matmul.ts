/** Products of quantized matrices: MatMulInteger, QLinearMatMul. */
import { roundTo } from '../tensor/pack.ts';
import { isFloat } from '../ir/types.ts';
import { allocate, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import { eachRow, planRows } from './support/broadcast.ts';
import { expectDtype, operand, required } from './support/elementwise.ts';
import { matmul, matmulShape } from './support/matmul.ts';
import { requantize, shifted } from './support/quant.ts';

/** Zero points of A are per row, those of B per column. */
const rowsOf = (t: Tensor): number => Math.max(0, t.shape.length - 2);
const columnsOf = (t: Tensor): number => t.shape.length - 1;

const matMulInteger = defineOp({
  domain: '',
  name: 'MatMulInteger',
  since: [10],
  trait: 'compute',
  infer(context) {
    for (const i of [0, 1]) expectDtype(context, i, ['u8', 'i8']);
    const shape = matmulShape(context, required(context, 0).shape, required(context, 1).shape);
    return { types: [{ dtype: 'i32', shape }] };
  },
  run(context) {
    const [a, b] = [operand(context, 0), operand(context, 1)];
    const left = shifted(a, context.inputs[2], rowsOf(a));
    return [matmul(left, shifted(b, context.inputs[3], columnsOf(b)), { dtype: 'i32' })];
  },
});

/** Inputs: a, its scale and zero point, b, its scale and zero point, scale and zero point of y. */
const qlinearMatMul = defineOp({
  domain: '',
  name: 'QLinearMatMul',
  since: [10, 21],
  trait: 'compute',
  infer(context) {
    const shape = matmulShape(context, required(context, 0).shape, required(context, 3).shape, 3);
    return { types: [{ dtype: required(context, 7).dtype, shape }] };
  },
  run(context) {
    const [a, as, az, b, bs, bz, ys, yz] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => operand(context, i));
    const floats = isFloat(a.dtype); // 8-bit floats have no zero point
    const acc = floats
      ? matmul(a, b, { dtype: 'f32' })
      : matmul(shifted(a, az, rowsOf(a)), shifted(b, bz, columnsOf(b)), { dtype: 'i32' });
    const { shape, data } = acc;
    const real = new Float32Array(data.length);
    const plan = planRows(shape, [alongRows(as, a), alongColumns(bs)]);
    eachRow(plan, (o, [ra, rb]) => {
      for (let i = 0; i < plan.length; i++) {
        const scale = (as.data[ra + i * plan.steps[0]] * bs.data[rb + i * plan.steps[1]]) / ys.data[0];
        real[o + i] = data[o + i] * scale;
      }
    });
    if (isFloat(yz.dtype)) return [tensor(yz.dtype, shape, roundTo(yz.dtype, real))];
    const out = allocate(yz.dtype, data.length);
    const round = requantize(yz.dtype, yz.data[0]);
    for (let i = 0; i < out.length; i++) out[i] = round(real[i]);
    return [tensor(yz.dtype, shape, out)];
  },
});

/** Shapes of scales seen against the product: per row of A, per column of B. */
const alongRows = (scale: Tensor, a: Tensor): readonly number[] =>
  scale.data.length === 1 ? [] : scale.shape.length === 1 && a.shape.length > 1 ? [scale.shape[0], 1] : scale.shape;
const alongColumns = (scale: Tensor): readonly number[] => (scale.data.length === 1 ? [] : scale.shape);

export const ops: readonly OpDef[] = [matMulInteger, qlinearMatMul];
