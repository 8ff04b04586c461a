/**
 * ingest-quantized: quantized exports as the model they were made from, with the weights' quantized values.
 *
 * Before  MatMulNBits, QLinearMatMul, DynamicQuantizeLinear + MatMulInteger + rescaling, QuantizeLinear /
 *         DequantizeLinear around products.
 * After   MatMul of activations with dequantized constants; the graph is that of the float export.
 * Skips   products of which no operand is a constant; scales that are not constants; g_idx.
 *
 * Lossy for the activations: where an export rounds them to 8 bits between ops, the lifted model does not. The weights'
 * values are exactly those of the quantized file. A remark says how many roundings were left out.
 */
import { bytesSource, type Constant, denseConstant, elementCount, transposeConstant } from '../../src/ir/constant.ts';
import type { GraphEdit } from '../../src/ir/edit.ts';
import type { Graph, Op } from '../../src/ir/graph.ts';
import type { ValueId } from '../../src/ir/ids.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { dequantizeNBits } from '../../src/ops/microsoft-nbits.ts';
import { runOp } from '../../src/exec/reference.ts';
import { definePass } from '../../src/pass/pass.ts';
import { pack } from '../../src/tensor/pack.ts';
import { readConstant } from '../../src/tensor/read.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

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
    count('weights dequantized', quantized.weights);
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
  'com.microsoft.MatMulNBits': (q, op) => q.nBits(op),
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
    const codes = gather?.kind === 'Gather' ? (gather.inputs[0] as ValueId) : undefined;
    const [, scale, zero] = op.inputs as ValueId[];
    if (gather === undefined || codes === undefined || elementCount(this.constant(scale)?.shape ?? [0]) !== 1) return;
    const weight = this.dequantized(op, codes, scale, zero);
    if (weight === undefined) return;
    this.weights++;
    const result = op.outputs[0] as ValueId;
    const inputs = [this.edit.addConstant(weight.source.label, weight), gather.inputs[1]];
    const [rows] = this.edit.addOp({ ...gather, inputs, outputs: [{ type: this.graph.types[result] }] });
    this.put(result, rows);
  }

  /** MatMul(x, weight) in the place of `result`, with a bias where there is one. */
  private product(op: Op, x: ValueId, weight: Constant, result: ValueId, bias?: ValueId | null): ValueId {
    this.weights++;
    const type = { dtype: 'f32' as const, shape: this.graph.types[result].shape };
    const w = this.edit.addConstant(weight.source.label, weight);
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
    if (b === undefined || s === undefined || (order !== undefined && order !== null)) return;
    const { N, K, bits = 4, block_size: block } = op.attrs as Record<string, number>;
    const values = dequantizeNBits(readConstant(b), readConstant(s), z && readConstant(z), {
      bits,
      rows: N,
      columns: K,
      block,
    });
    const weight = dense(this.graph.names[codes as ValueId], [N, K], values);
    const result = op.outputs[0] as ValueId;
    this.put(result, this.product(op, x as ValueId, transposeConstant(weight, [1, 0]), result, bias));
  }

  /** Between quantized values; the result is a quantized value that a DequantizeLinear reads. */
  qLinear(op: Op): void {
    const [a, , , b, scale, zero] = op.inputs as ValueId[];
    const weight = this.dequantized(op, b, scale, zero);
    const float = this.floats.get(a);
    if (weight === undefined || float === undefined) return;
    this.floats.set(op.outputs[0] as ValueId, this.product(op, float, weight, op.outputs[0] as ValueId));
  }

  /** Mul(Cast(MatMulInteger(quantized x, codes)), Mul(scale of x, scale of codes)). */
  integer(op: Op): void {
    const [a, b, , zero] = op.inputs as ValueId[];
    const float = this.floats.get(a);
    const cast = this.onlyUser(op.outputs[0] as ValueId);
    const rescale = cast?.kind === 'Cast' ? this.onlyUser(cast.outputs[0] as ValueId) : undefined;
    const factor = rescale?.kind === 'Mul' ? rescale.inputs.find((v) => v !== cast?.outputs[0]) : undefined;
    const scales = factor === undefined || factor === null ? undefined : this.producers.get(factor);
    const scale = scales?.kind === 'Mul' ? scales.inputs.find((v) => this.constant(v) !== undefined) : undefined;
    if (float === undefined || rescale === undefined || scale === undefined || scale === null) return;
    const weight = this.dequantized(op, b, scale, zero);
    if (weight === undefined) return;
    this.roundings++;
    const result = rescale.outputs[0] as ValueId;
    this.put(result, this.product(op, float, weight, result));
  }

  private onlyUser(v: ValueId): Op | undefined {
    const users = this.users.get(v) ?? [];
    return users.length === 1 ? users[0] : undefined;
  }

  /** Codes [K, N] with one scale, or one a column. */
  private dequantized(op: Op, codes: ValueId, scale: ValueId, zero: ValueId | undefined): Constant | undefined {
    const [c, s, z] = [codes, scale, zero].map((v) => this.constant(v));
    if (c === undefined || s === undefined) return undefined;
    const flat = (k: Constant): Tensor => {
      const t = readConstant(k);
      return { ...t, shape: elementCount(k.shape) === 1 ? [] : [elementCount(k.shape)] };
    };
    const inputs = [readConstant(c), flat(s), ...(z ? [flat(z)] : [])];
    const [out] = runOp(
      { kind: 'DequantizeLinear', version: 13, inputs: [], outputs: [codes], attrs: { axis: 1 }, origin: op.origin },
      inputs,
    );
    return dense(this.graph.names[codes], c.shape, out.data as Float32Array);
  }
}

const dense = (name: string, shape: readonly number[], values: Float32Array): Constant =>
  denseConstant('f32', shape, bytesSource(`${name}.float`, pack('f32', values)));
