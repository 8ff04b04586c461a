/**
 * ingest-quantized: quantized exports as the model they were made from, with the weights as they are stored.
 *
 * Before  MatMulNBits, GatherBlockQuantized, QLinearMatMul, MatMulInteger and its fused forms, QuantizeLinear /
 *         DequantizeLinear around activations.
 * After   the ops of the float export (MatMul, Add, Gather); weights are quantized constants: views of the codes, scales
 *         and zero points of the file.
 * Skips   products of which no operand is a constant; scales that are not constants.
 *
 * Lossy for the activations: where an export rounds them to 8 bits between ops, the lifted model does not. The weights'
 * values are exactly those of the quantized file. A remark says how many roundings were left out.
 */
import { fail } from '../../src/diag/diagnostic.ts';
import { type Constant, transposeConstant } from '../../src/ir/constant.ts';
import type { GraphEdit } from '../../src/ir/edit.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { isTokenGraph } from '../../src/frontend/token-functions.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { definePass } from '../../src/pass/pass.ts';
import { linearView, nBitsView, tableView } from '../../src/tensor/quantized-views.ts';
import { readConstant } from '../../src/tensor/read.ts';

export default definePass({
  name: 'ingest-quantized',
  summary: 'see the float model in a quantized export',
  requires: [],
  provides: [],
  preserves: [],
  numerics: 'lossy',
  options: {},
  run(program, { edit: begin, count, report }) {
    const { graph } = program;
    const quantized = new Quantized(graph, begin(graph));
    for (const op of graph.ops) quantized.visit(op);
    if (quantized.weights === 0 && quantized.roundings === 0) return program;
    count('weights read as codes', quantized.weights);
    count('roundings left out', quantized.roundings);
    if (quantized.roundings > 0) {
      report({
        code: 'compile/activations-float',
        severity: 'remark',
        message: `${quantized.roundings} roundings of activations to 8 bits are left out: regions compute them in floats`,
      });
    }
    return { ...program, graph: inferTypes(quantized.edit.finish()) };
  },
});

/** The ops this pass takes away, in the forms that exporters use. */
export const INGESTED: Readonly<Record<string, (quantized: Quantized, op: Op, x: ValueId) => void>> = {
  QuantizeLinear: (q, op, x) => q.round(op, x),
  DynamicQuantizeLinear: (q, op, x) => q.round(op, x),
  DequantizeLinear: (q, op, x) => q.dequantize(op, x),
  'com.microsoft.QuantizeLinear': (q, op, x) => q.round(op, x),
  'com.microsoft.DequantizeLinear': (q, op, x) => q.dequantize(op, x),
  'com.microsoft.MatMulNBits': (q, op) => q.nBits(op),
  'com.microsoft.GatherBlockQuantized': (q, op) => q.rows(op),
  'com.microsoft.DynamicQuantizeMatMul': (q, op) => q.dynamic(op),
  'com.microsoft.MatMulIntegerToFloat': (q, op) => q.integerToFloat(op),
  QLinearMatMul: (q, op) => q.qLinear(op),
  MatMulInteger: (q, op) => q.integer(op),
};

class Quantized {
  readonly edit: GraphEdit;
  weights = 0;
  roundings = 0;
  private readonly graph: Graph;
  private readonly producers = new Map<ValueId, Op>();
  private readonly users = new Map<ValueId, Op[]>();
  /** Float activation that a quantized one stands for. */
  private readonly floats = new Map<ValueId, ValueId>();

  constructor(graph: Graph, edit: GraphEdit) {
    this.graph = graph;
    this.edit = edit;
    for (const op of graph.ops) {
      for (const v of op.outputs) if (v !== null) this.producers.set(v, op);
      for (const v of op.inputs) if (v !== null) this.users.set(v, [...(this.users.get(v) ?? []), op]);
    }
  }

  visit(op: Op): void {
    const [x] = op.inputs as ValueId[];
    if (Object.hasOwn(INGESTED, op.kind)) INGESTED[op.kind](this, op, x);
  }

  /** Quantized activations stand for the floats they were rounded from. */
  round(op: Op, x: ValueId): void {
    if (this.constant(x) === undefined) this.floats.set(op.outputs[0] as ValueId, this.current(x));
  }

  private readonly replaced = new Map<ValueId, ValueId>();
  /** The value that stands for `v` now. */
  private current(v: ValueId): ValueId {
    return this.replaced.get(v) ?? v;
  }
  private constant(v: ValueId | null | undefined): Constant | undefined {
    return v === null || v === undefined ? undefined : this.graph.constants.get(v);
  }

  private put(from: ValueId, to: ValueId): void {
    this.replaced.set(from, to);
    this.edit.replaceUses(from, to);
  }

  /** Back to floats: the float that was rounded, without the rounding. */
  dequantize(op: Op, x: ValueId): void {
    const float = this.floats.get(x);
    if (float === undefined) return this.table(op, x);
    this.roundings++;
    this.put(op.outputs[0] as ValueId, float);
  }

  /** DequantizeLinear of rows of a quantized table: rows of the dequantized table. */
  private table(op: Op, x: ValueId): void {
    const gather = this.producers.get(x);
    const [, scale, zero] = op.inputs as ValueId[];
    const s = this.constant(scale);
    if (gather?.kind !== 'Gather' || s === undefined || s.shape.some((n) => n !== 1)) return;
    const weight = this.codes(gather.inputs[0], scale, zero, s.dtype);
    if (weight !== undefined) this.gather(gather, weight, gather.inputs[1], op.outputs[0] as ValueId);
  }

  /** Rows of a table in the place of `result`. */
  private gather(op: Op, table: Constant, indices: ValueId | null, result: ValueId): void {
    this.weights++;
    const [rows] = this.edit.addOp({
      kind: 'Gather',
      version: 13,
      inputs: [this.edit.addConstant(table.source.label, table), indices],
      attrs: { axis: 0 },
      outputs: [{ type: this.graph.types[result] }],
      origin: op.origin,
    });
    this.put(result, rows);
  }

  /** MatMul(x, weight) in the place of `result`, with a bias where there is one. */
  private product(op: Op, x: ValueId, weight: Constant, result: ValueId, bias?: ValueId | null): ValueId {
    this.weights++;
    const type = { dtype: weight.dtype, shape: this.graph.types[result].shape };
    const w = this.edit.addConstant(weight.source.label, weight);
    if (isTokenGraph(this.graph)) {
      const inputs = [this.current(x), w, ...(bias ? [bias] : [])];
      const name = this.graph.names[result];
      return this.edit.addOp({
        kind: 'wafc.linear',
        version: 1,
        inputs,
        outputs: [{ type, name }],
        origin: op.origin,
      })[0];
    }
    const [product] = this.edit.addOp({
      kind: 'MatMul',
      version: 13,
      inputs: [this.current(x), w],
      outputs: [{ type }],
      origin: op.origin,
    });
    if (bias === undefined || bias === null) return product;
    const [sum] = this.edit.addOp({
      kind: 'Add',
      version: 14,
      inputs: [product, bias],
      outputs: [{ type }],
      origin: op.origin,
    });
    return sum;
  }

  nBits(op: Op): void {
    const [x, codes, scales, zeros, order, bias] = op.inputs;
    const [b, s, z] = [codes, scales, zeros].map((v) => this.constant(v));
    if (b === undefined || s === undefined || (zeros && z === undefined)) return;
    const { N, K, bits = 4, block_size: block } = op.attrs as Record<string, number>;
    if (order) this.inOrder(op, order, K, block);
    const { dtype } = this.graph.types[x as ValueId];
    const weight = nBitsView(b, s, z, { bits, rows: N, columns: K, block }, dtype);
    if (weight === undefined) return;
    const result = op.outputs[0] as ValueId;
    this.put(result, this.product(op, x as ValueId, transposeConstant(weight, [1, 0]), result, bias));
  }

  /** Columns that are not in the order of their groups would need their scales one by one. */
  private inOrder(op: Op, order: ValueId, columns: number, block: number): void {
    const g = this.constant(order);
    const groups = g && readConstant(g).data;
    const off = groups === undefined ? 0 : groups.subarray(0, columns).findIndex((n, k) => n !== Math.floor(k / block));
    if (off < 0) return;
    fail({
      code: 'todo/group-order',
      message: `MatMulNBits has g_idx: column ${off} is expected in group ${Math.floor(off / block)}, found in ${groups?.[off] ?? 'one known at run time'}`,
      node: op.origin.node,
      notes: ['quantize again with static groups (desc_act off, or act-order with static_groups): they need no g_idx'],
    });
  }

  /** GatherBlockQuantized of rows. */
  rows(op: Op): void {
    const [data, indices, scales, zeros] = op.inputs;
    const [b, s, z] = [data, scales, zeros].map((v) => this.constant(v));
    if (b === undefined || s === undefined || (zeros && z === undefined)) return;
    const {
      gather_axis: from = 0,
      quantize_axis: axis = 1,
      block_size: block = 128,
      bits = 4,
    } = op.attrs as Record<string, number>;
    const rank = b.shape.length;
    const table = from % rank === 0 ? tableView(b, s, z, { bits, axis: (axis + rank) % rank, block }) : undefined;
    if (table !== undefined) this.gather(op, table, indices, op.outputs[0] as ValueId);
  }

  /** Between quantized values; the result is a quantized value that a DequantizeLinear reads. */
  qLinear(op: Op): void {
    const [a, , , b, scale, zero] = op.inputs as ValueId[];
    const float = this.floats.get(a);
    const weight = float === undefined ? undefined : this.codes(b, scale, zero, this.graph.types[float].dtype);
    if (weight === undefined || float === undefined) return;
    this.floats.set(op.outputs[0] as ValueId, this.product(op, float, weight, op.outputs[0] as ValueId));
  }

  /** DynamicQuantizeMatMul: x is rounded inside. */
  dynamic(op: Op): void {
    const [x, b, scale, zero, bias] = op.inputs as ValueId[];
    this.unrounded(op, x, this.codes(b, scale, zero, this.graph.types[x].dtype), op.outputs[0] as ValueId, bias);
  }

  /** MatMulIntegerToFloat of a rounded x. */
  integerToFloat(op: Op): void {
    const [a, b, , scale, , zero, bias] = op.inputs as ValueId[];
    const float = this.floats.get(a);
    if (float === undefined) return;
    const weight = this.codes(b, scale, zero, this.graph.types[float].dtype);
    this.unrounded(op, float, weight, op.outputs[0] as ValueId, bias);
  }

  /** Cast(MatMulInteger(rounded x, codes)) times the scale of x and that of the codes, in any order. */
  integer(op: Op): void {
    const [a, b, , zero] = op.inputs as ValueId[];
    const float = this.floats.get(a);
    const cast = this.onlyUser(op.outputs[0] as ValueId);
    if (float === undefined || cast?.kind !== 'Cast') return;
    const own = this.producers.get(a)?.outputs[1];
    let result = cast.outputs[0] as ValueId;
    const factors: ValueId[] = [];
    while (factors.length < 2) {
      const rescale = this.onlyUser(result);
      const factor = rescale?.kind === 'Mul' ? rescale.inputs.find((v) => v !== result) : undefined;
      if (rescale === undefined || factor === undefined || factor === null) return;
      factors.push(...this.factors(factor));
      result = rescale.outputs[0] as ValueId;
    }
    const scale = factors.find((v) => v !== own);
    if (factors.length !== 2 || scale === undefined || !factors.some((v) => v === own)) return;
    this.unrounded(op, float, this.codes(b, scale, zero, this.graph.types[float].dtype), result);
  }

  private factors(v: ValueId): ValueId[] {
    const producer = this.producers.get(v);
    return producer?.kind === 'Mul' ? producer.inputs.flatMap((i) => (i === null ? [] : this.factors(i))) : [v];
  }

  /** The product of a float that the export rounds. */
  private unrounded(op: Op, x: ValueId, weight: Constant | undefined, result: ValueId, bias?: ValueId): void {
    if (weight === undefined) return;
    this.roundings++;
    this.put(result, this.product(op, x, weight, result, bias));
  }

  private onlyUser(v: ValueId): Op | undefined {
    const users = this.users.get(v) ?? [];
    return users.length === 1 ? users[0] : undefined;
  }

  /** Codes [K, N] with one scale, or one a column. */
  private codes(
    codes: ValueId | null,
    scale: ValueId,
    zero: ValueId | null | undefined,
    rounded: Constant['dtype'],
  ): Constant | undefined {
    const [c, s, z] = [codes, scale, zero].map((v) => this.constant(v));
    if (c === undefined || s === undefined || (zero && z === undefined)) return undefined;
    return linearView(c, s, z, { axis: c.shape.length - 1, block: 0 }, rounded);
  }
}
