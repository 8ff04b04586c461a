/** Matrix products and embeddings. */
import type { Op } from '../../ir/graph.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { MeshAxis, T } from '../../ir/program.ts';
import { X, Y } from '../axes.ts';
import type { DeferredNorm, StageMapper } from '../stage-mapper.ts';

/** Input along y: K on y, N on x, the sum owed along y; input along x: the other way round. */
export function mapLinear(m: StageMapper, op: Op): void {
  const [xId, weightId, biasId] = op.inputs as ValueId[];
  const deferred = m.deferred(xId);
  const given = deferred?.scaled ?? m.value(xId);
  const alongX = m.axesOf(given)[0] === 'xo';
  const [kAxes, nAxes] = alongX ? [X, Y] : [Y, X];
  const x = m.relaid(given, kAxes);
  const [k, n] = m.graph.types[weightId].shape as number[];
  const weight = m.weight(weightId, [k, n], { dims: [kAxes, nAxes], partial: null });
  const [tokens] = m.tensors[x].shape;
  const owed = m.temp(x, [tokens, n], { dims: [[], nAxes], partial: { combine: 'sum', axes: kAxes } }, '/partial');
  m.emit({ op: 'gemv', x, weight, out: owed });
  const total = m.reduced(owed);
  const sum = deferred === undefined ? total : scaledByNorm(m, total, deferred);
  m.bind(op.outputs[0] as ValueId, biasId === undefined ? sum : withBias(m, sum, biasId, n, nAxes));
}

/** Pays a deferred norm: its sum of squares was reduced beside the product. */
function scaledByNorm(m: StageMapper, x: T, { sums, features, epsilon }: DeferredNorm): T {
  const out = m.temp(x, m.tensors[x].shape, m.layoutOf(x), '/scaled');
  m.emit({ op: 'rms_scale', inputs: [x], sums: m.reduced(sums), features, epsilon, outputs: [out] });
  return out;
}

function withBias(m: StageMapper, x: number, biasId: ValueId, n: number, axes: readonly MeshAxis[]): number {
  const bias = m.weight(biasId, [1, n], { dims: [[], axes], partial: null });
  const out = m.temp(x, m.tensors[x].shape, m.layoutOf(x), '/bias');
  m.emit({ op: 'binary', fn: 'add', a: x, b: bias, out });
  return out;
}

/** Rows of the table on x, features on y: the column that owns the row gives it, the sum along x spreads it. */
export function mapEmbedding(m: StageMapper, op: Op): void {
  const [tableId, indexId] = op.inputs as ValueId[];
  const [rows, width] = m.graph.types[tableId].shape as number[];
  const table = m.weight(tableId, [rows, width], { dims: [X, Y], partial: null });
  const index = m.value(indexId);
  const dtype = m.graph.types[op.outputs[0] as ValueId].dtype;
  const owed = m.add(`${m.node}/partial`, 'temp', dtype, [m.size.tokens, width], {
    dims: [[], Y],
    partial: { combine: 'sum', axes: X },
  });
  m.emit({ op: 'embed', table, index, out: owed });
  m.bind(op.outputs[0] as ValueId, m.reduced(owed));
}
