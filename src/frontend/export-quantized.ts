/**
 * Quantized constants in ONNX, with the codes, scales and zero points as they are: MatMulNBits where a product reads blocks
 * that onnxruntime multiplies (powers of two from 16 on), GatherBlockQuantized for rows of such tables, DequantizeLinear for
 * everything else. What ingest-quantized makes of the result are the same constants, by the same names.
 */
import { type Constant, isQuantized, type Quantized, transposeConstant } from '../ir/constant.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { DTYPE_BITS, type DType, isFloat } from '../ir/types.ts';
import { CODE_OF } from '../onnx/dtype-codes.ts';
import type { WritableAttribute, WritableNode, WritableTensor } from '../onnx/writer.ts';
import { pack } from '../tensor/pack.ts';
import { blockBytes, filledZeros, packedRows } from './export-codes.ts';
import { constantTensor, memoryTensor } from './export-constant.ts';
import { isProduct, isTable, middleOf, opsetFor, spreadOf } from './quantized-forms.ts';

const int = (value: number): WritableAttribute => ({ kind: 'int', value });
const attributesOf = (values: Readonly<Record<string, number>>): Map<string, WritableAttribute> =>
  new Map(Object.entries(values).map(([key, value]) => [key, int(value)]));

/** Ops that may read codes: those of com.microsoft, too, or DequantizeLinear alone. */
export type CodeOps = 'any' | 'linear';

/** Of MatMulNBits. */
const BIAS_INPUT = 5;

/** How the uses of a quantized constant are written. */
type Form = 'product' | 'rows' | 'value';

/** The quantized constants of one graph. */
export class QuantizedExport {
  /** They read constants only, so they come before all others. */
  readonly nodes: WritableNode[] = [];
  readonly initializers: WritableTensor[] = [];
  private readonly graph: Graph;
  private readonly ops: CodeOps;
  private readonly forms = new Map<ValueId, Form>();

  constructor(graph: Graph, ops: CodeOps = 'any') {
    this.graph = graph;
    this.ops = ops;
    const users = new Map<ValueId, Op[]>();
    for (const op of graph.ops) for (const v of op.inputs) if (v !== null) users.set(v, [...(users.get(v) ?? []), op]);
    for (const [v, c] of graph.constants) if (isQuantized(c)) this.forms.set(v, this.formOf(v, c, users.get(v) ?? []));
  }

  get usesMicrosoft(): boolean {
    return this.forms.size > 0;
  }

  /** The opset of ai.onnx that a model with ops of `opset` must have. */
  opset(opset: number): number {
    const values = [...this.forms].filter(([, form]) => form === 'value').map(([v]) => this.quantized(v));
    return Math.max(opset, ...values.map((c) => opsetFor(c, opset)));
  }

  /** Codes, scales and nodes of all quantized constants, in a model of `opset`. */
  write(opset: number): void {
    for (const [v, form] of this.forms) {
      if (form === 'product') this.writeProduct(v);
      else if (form === 'rows') this.writeRows(v);
      else this.writeValue(v, opset);
    }
  }

  /** `node`, or in its place the op that reads the codes of its constant. */
  node(op: Op, node: WritableNode): WritableNode {
    const weight = op.inputs.find((v) => v !== null && (this.forms.get(v) ?? 'value') !== 'value');
    if (weight === undefined || weight === null) return node;
    const c = this.quantized(weight);
    const name = this.graph.names[weight];
    const isRows = this.forms.get(weight) === 'rows';
    const tables = [`${name}.scales`, ...(this.hasZeros(c, isRows) ? [`${name}.zeros`] : [])];
    const bits = DTYPE_BITS[c.stored];
    const { block } = c.quantization;
    const [first, second, bias] = node.inputs;
    const domain = 'com.microsoft';
    if (isRows) {
      const form = { gather_axis: 0, quantize_axis: 1, block_size: block[1], ...(bits === 8 ? { bits } : {}) };
      const inputs = [name, second, ...tables];
      return { ...node, domain, opType: 'GatherBlockQuantized', inputs, attributes: attributesOf(form) };
    }
    const form = { K: c.shape[0], N: c.shape[1], bits, block_size: block[0] };
    const operands = [first, name, ...tables];
    const inputs = bias === undefined ? operands : [...operands, ...Array(BIAS_INPUT - operands.length).fill(''), bias];
    return { ...node, domain, opType: 'MatMulNBits', inputs, attributes: attributesOf(form) };
  }

  private formOf(v: ValueId, c: Quantized, users: readonly Op[]): Form {
    const typeOf = (x: ValueId | null): DType | null => (x === null ? null : this.graph.types[x].dtype);
    // A layer of a token graph stays one, unless its zero points are such as only MatMulNBits has.
    const needsProduct = typeof c.quantization.zeros !== 'number' && isFloat(c.quantization.zeros.stored);
    const multiplies = ({ kind, inputs: [x, w] }: Op): boolean =>
      (kind === 'MatMul' || (kind === 'wafc.linear' && needsProduct)) && w === v && isProduct(c, typeOf(x));
    const takesRows = ({ kind, inputs: [table], attrs }: Op): boolean =>
      kind === 'Gather' && table === v && (attrs.axis ?? 0) === 0 && isTable(c);
    if (users.length === 0 || this.ops === 'linear') return 'value';
    return users.every(multiplies) ? 'product' : users.every(takesRows) ? 'rows' : 'value';
  }

  private writeProduct(v: ValueId): void {
    const c = this.quantized(v);
    const name = this.graph.names[v];
    const { block, scales, zeros } = c.quantization;
    const bits = DTYPE_BITS[c.stored];
    const [K, N] = c.shape;
    const blocks = Math.ceil(K / block[0]);
    const shape = [N, blocks, (block[0] * bits) / 8];
    const source = blockBytes(name, transposeConstant(c, [1, 0]), blocks * block[0]);
    this.initializers.push({ name, dtype: 'u8', shape, source });
    this.put(`${name}.scales`, transposeConstant(scales, [1, 0]), c.dtype);
    if (!this.hasZeros(c, false)) return;
    const table = transposeConstant(typeof zeros === 'number' ? filledZeros(c, zeros) : zeros, [1, 0]);
    if (table.stored !== c.stored) return this.put(`${name}.zeros`, table, c.dtype);
    const packed = packedRows(table, bits);
    this.initializers.push(memoryTensor(`${name}.zeros`, 'u8', [N, packed.length / N], packed));
  }

  private writeRows(v: ValueId): void {
    const c = this.quantized(v);
    const name = this.graph.names[v];
    const { scales, zeros } = c.quantization;
    this.initializers.push(constantTensor(name, c));
    this.put(`${name}.scales`, scales, c.dtype);
    if (!this.hasZeros(c, true)) return;
    this.initializers.push(constantTensor(`${name}.zeros`, typeof zeros === 'number' ? filledZeros(c, zeros) : zeros));
  }

  /** DequantizeLinear, then what it cannot say: another type, or groups that a slice has cut. */
  private writeValue(v: ValueId, opset: number): void {
    const whole = unsliced(this.quantized(v));
    const name = this.graph.names[v];
    const { dtype, shape } = this.quantized(v);
    const { scales, zeros, rounded } = whole.quantization;
    const { phase } = this.quantized(v).quantization;
    const { axis, block } = spreadOf(whole);
    const flat = (table: Constant): Constant => {
      if (block > 0) return table;
      const kept = axis < 0 ? [] : [axis];
      const view = { ...table, shape: kept.map((d) => table.shape[d]), strides: kept.map((d) => table.strides[d]) };
      const { quantization: _, ...plain } = view;
      return table.quantization ? { ...plain, quantization: table.quantization } : plain;
    };
    const isExponent = scales.stored === 'f8e8m0';
    const product = isExponent ? rounded : scales.dtype;
    this.initializers.push(constantTensor(`${name}.codes`, whole));
    this.put(`${name}.scales`, flat(scales), isExponent ? scales.stored : product);
    const table = typeof zeros === 'number' && zeros !== 0 ? filledZeros(whole, zeros) : zeros;
    if (typeof table !== 'number') this.initializers.push(constantTensor(`${name}.zeros`, flat(table)));
    const steps: ((from: string, to: string) => WritableNode)[] = [];
    if (product !== rounded) steps.push((from, to) => cast(from, to, rounded));
    if (rounded !== dtype) steps.push((from, to) => cast(from, to, dtype));
    for (const [d, n] of phase.entries()) if (n > 0) steps.push((from, to) => this.slice(from, to, d, n, n + shape[d]));
    const form = { ...(axis < 0 ? {} : { axis }), ...(block > 0 ? { block_size: block } : {}) };
    const at = (step: number): string => (step === steps.length ? name : `${name}.${step}`);
    this.nodes.push({
      name: `${name}.dequantize`,
      opType: 'DequantizeLinear',
      domain: opsetFor(whole, opset) === 0 ? 'com.microsoft' : '',
      inputs: [`${name}.codes`, `${name}.scales`, ...(typeof table === 'number' ? [] : [`${name}.zeros`])],
      outputs: [at(0)],
      attributes: attributesOf(isExponent ? { ...form, output_dtype: CODE_OF[rounded] } : form),
    });
    for (const [i, step] of steps.entries()) this.nodes.push(step(at(i), at(i + 1)));
  }

  /** A table of scales or zero points of type `dtype`: narrower ones are cast, quantized ones dequantized, in the model. */
  private put(name: string, table: Constant, dtype: DType): void {
    const outer = table.quantization;
    if (outer === undefined && table.stored === dtype) {
      this.initializers.push(constantTensor(name, table));
      return;
    }
    this.initializers.push(constantTensor(`${name}.stored`, table));
    if (outer === undefined) {
      this.nodes.push(cast(`${name}.stored`, name, dtype));
      return;
    }
    this.initializers.push(constantTensor(`${name}.scale`, { ...outer.scales, shape: [], strides: [] }));
    const inputs = [`${name}.stored`, `${name}.scale`];
    this.nodes.push({ name: `${name}.dequantize`, opType: 'DequantizeLinear', inputs, outputs: [name] });
  }

  private slice(from: string, to: string, axis: number, start: number, end: number): WritableNode {
    const bounds = Object.entries({ starts: start, ends: end, axes: axis }).map(([what, n]) => {
      this.initializers.push(memoryTensor(`${to}.${what}.${axis}`, 'i64', [1], pack('i64', Float64Array.of(n))));
      return `${to}.${what}.${axis}`;
    });
    return { name: `${to}.slice`, opType: 'Slice', inputs: [from, ...bounds], outputs: [to] };
  }

  private hasZeros({ stored, quantization: { zeros } }: Quantized, isRows: boolean): boolean {
    return zeros !== middleOf(stored, isRows);
  }

  private quantized(v: ValueId): Quantized {
    const c = this.graph.constants.get(v);
    if (c === undefined || !isQuantized(c)) throw new Error(`${this.graph.names[v]} is not quantized`);
    return c;
  }
}

const cast = (from: string, to: string, dtype: DType): WritableNode => ({
  name: `${to}.cast`,
  opType: 'Cast',
  inputs: [from],
  outputs: [to],
  attributes: attributesOf({ to: CODE_OF[dtype] }),
});

/** The constant from the start of its first groups on: all that DequantizeLinear can express. */
function unsliced(c: Quantized): Quantized {
  const { phase } = c.quantization;
  const offset = phase.reduce((at, n, d) => at - n * c.strides[d], c.offset);
  const quantization = { ...c.quantization, phase: phase.map(() => 0) };
  return { ...c, shape: c.shape.map((n, d) => n + phase[d]), offset, quantization };
}
