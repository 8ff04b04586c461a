/** wafc.round in ONNX's own ops: QuantizeLinear and DequantizeLinear with a fixed scale; their arithmetic with a scale for each token. */
import { INVERSE_127 } from '../ops/wafc-round.ts';
import type { Lowering } from './lower.ts';

export function lowerRound(l: Lowering): void {
  const x = l.input(0);
  const dtype = l.dtypeOf(x);
  const wide = dtype === 'f32' ? x : l.cast(x, 'f32');
  const fixed = l.optional(1);
  if (fixed !== undefined) {
    const scale = l.reshape(fixed, []);
    const zero = l.scalar('i8', 0);
    const values = l.add('DequantizeLinear', [l.add('QuantizeLinear', [wide, scale, zero]), scale, zero]);
    return l.replace(0, dtype === 'f32' ? values : l.cast(values, dtype));
  }
  const most = l.extreme('ReduceMax', l.add('Abs', [wide]), -1);
  const scale = l.add('Mul', [most, l.scalar('f32', INVERSE_127)]);
  const divisor = l.add('Where', [l.add('Greater', [scale, l.scalar('f32', 0)]), scale, l.scalar('f32', 1)]);
  const values = l.add('Mul', [l.add('Round', [l.add('Div', [wide, divisor])]), scale]);
  l.replace(0, dtype === 'f32' ? values : l.cast(values, dtype));
}
