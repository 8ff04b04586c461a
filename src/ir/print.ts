/**
 * The `.wir` text form of graphs; parse.ts reads it back, and print(parse(text)) is text again.
 *
 *     graph mlp opset 17 (%x: f16[8,32]) -> %y {
 *       %w = const f16[32,64] @"fc1.weight"
 *       %y: f16[8,64] = MatMul %x, %w  // node /fc1/MatMul by fold-constants
 *     }
 *
 * `opset` is the version of the ops of ai.onnx; others say theirs: `MatMul@13`. Ops of other domains are at
 * version 1 unless they say so. Constants of up to 64 elements are printed in full.
 */
import { type Constant, elementCount, isContiguous } from './constant.ts';
import { type Dim, isKnown } from './dim.ts';
import { type Attrs, type AttrValue, type Graph, isConstantAttr, isGraphAttr, type Op } from './graph.ts';
import type { ValueId } from './ids.ts';
import { printElement, printNumber, readBits } from './literal.ts';
import { operandsOf } from './order.ts';
import { isGenerated, isOpaque } from './sources.ts';
import { bytesFor, DTYPE_BITS, type TensorType } from './types.ts';

export interface PrintOptions {
  /** Adds a hash of the contents to constants that are not printed in full. Reads all their bytes. */
  readonly hash?: boolean;
}

/** Constants of at most this many elements are printed in full. */
export const FULL_ELEMENTS = 64;

export const printGraph = (graph: Graph, options: PrintOptions = {}): string =>
  `${graphLines(graph, commonVersion(graph), true, options).join('\n')}\n`;

function graphLines(graph: Graph, opset: number | null, top: boolean, options: PrintOptions): string[] {
  const ref = (value: ValueId): string => printValue(graph.names[value]);
  const typed = (value: ValueId): string => `${ref(value)}: ${printTensorType(graph.types[value])}`;
  const version = top && opset !== null ? ` opset ${opset}` : '';
  const captured = [...graph.captures].map(([value, outer]) => `${typed(value)} = ${printValue(outer)}`);
  const captures = captured.length === 0 ? '' : ` captures (${captured.join(', ')})`;
  const outputs = graph.outputs.length === 0 ? '()' : graph.outputs.map(ref).join(', ');
  const head = `graph ${printWord(graph.name)}${version} (${graph.inputs.map(typed).join(', ')})${captures} -> ${outputs} {`;

  const body: string[] = [];
  const pending = new Set(graph.constants.keys());
  const byName = new Map([...pending].map((value) => [graph.names[value], value]));
  const define = (value: ValueId): void => {
    if (!pending.delete(value)) return;
    body.push(`${ref(value)} = const ${printConstant(graph.constants.get(value) as Constant, options)}`);
  };
  for (const op of graph.ops) {
    for (const value of operandsOf(op, (name) => byName.get(name))) define(value);
    const [first, ...rest] = opText(op, graph, opset, options);
    body.push(first, ...rest);
  }
  for (const value of pending) define(value); // deleting what is visited is safe in a Set
  return [head, ...body.map((line) => `  ${line}`), '}'];
}

function opText(op: Op, graph: Graph, opset: number | null, options: PrintOptions): string[] {
  const name = (value: ValueId | null): string => (value === null ? '_' : printValue(graph.names[value]));
  const outputs = op.outputs.map((v) => (v === null ? '_' : `${name(v)}: ${printTensorType(graph.types[v])}`));
  const standard = op.kind.includes('.') ? 1 : opset;
  const kind = `${printWord(op.kind)}${op.version === standard ? '' : `@${op.version}`}`;
  const inputs = op.inputs.length === 0 ? '' : ` ${op.inputs.map(name).join(', ')}`;
  const attrs = printAttrs(op.attrs, opset, options);
  const origin = printOrigin(op, graph);
  return `${outputs.join(', ') || '()'} = ${kind}${inputs}${attrs === '' ? '' : ` ${attrs}`}${origin}`.split('\n');
}

function printAttrs(attrs: Attrs, opset: number | null, options: PrintOptions): string {
  const keys = Object.keys(attrs).sort();
  if (keys.length === 0) return '';
  return `{${keys.map((key) => `${printWord(key)}=${printAttr(attrs[key], opset, options)}`).join(', ')}}`;
}

function printAttr(attr: AttrValue, opset: number | null, options: PrintOptions): string {
  if (typeof attr === 'number') return printNumber(attr);
  if (typeof attr === 'boolean') return String(attr);
  if (typeof attr === 'string') return JSON.stringify(attr);
  if (isConstantAttr(attr)) return `const ${printConstant(attr, options)}`;
  if (isGraphAttr(attr)) return graphLines(attr.graph, opset, false, options).join('\n');
  return `[${attr.map((item: number | string) => (typeof item === 'number' ? printNumber(item) : JSON.stringify(item))).join(', ')}]`;
}

/** Left out when it is the first output's name and no pass has rewritten the op: what the parser assumes. */
function printOrigin({ origin, outputs }: Op, graph: Graph): string {
  const first = outputs.find((v) => v !== null);
  const implied = first === undefined ? '' : graph.names[first];
  const plain = /^[^\s"](?:[^\r\n\u2028\u2029]*\S)?$/.test(origin.node) && !origin.node.includes(' by ');
  const node = origin.node === implied ? '' : ` node ${plain ? origin.node : JSON.stringify(origin.node)}`;
  const by = origin.by.length === 0 ? '' : ` by ${origin.by.join(', ')}`;
  return node === '' && by === '' ? '' : `  //${node}${by}`;
}

/** `f16[2,2] [1, 2, 3, 4]`, or where the elements are when they are many. */
export function printConstant(constant: Constant, options: PrintOptions = {}): string {
  const { dtype, shape, stored, source, offset, strides } = constant;
  const count = elementCount(shape);
  const type = printTensorType({ dtype, shape });
  const as = stored === dtype ? '' : ` stored ${stored}`;
  const compressed = printCompression(constant, options);
  if (count <= FULL_ELEMENTS && !isOpaque(source) && DTYPE_BITS[stored] > 0) {
    const elements = elementTexts(constant);
    return `${type} ${shape.length === 0 ? elements[0] : `[${elements.join(', ')}]`}${as}${compressed}`;
  }
  const start = offset === 0 ? '' : `+${offset}`;
  const steps = isContiguous(constant) ? '' : ` strides(${strides.join(',')})`;
  if (isGenerated(source)) {
    const partly = source.count === count ? '' : ` of ${source.count}`;
    return `${type} ${source.generator}${partly}${start === '' ? '' : ` ${start}`}${steps}${as}${compressed}`;
  }
  const known = isOpaque(source) ? source.hash : options.hash ? hashConstant(constant) : null;
  return `${type} @${JSON.stringify(source.label)}${start}${steps}${as}${known === null ? '' : ` #${known}`}${compressed}`;
}

/** ` scales(f16[2,64] @"w.scales") zeros(8) block(32,1) phase(3,0) rounded f16 sparse bitmap`: what differs from the plain case. */
function printCompression({ dtype, quantization: q, sparsity }: Constant, options: PrintOptions): string {
  const sparse = sparsity === undefined ? '' : ` sparse ${sparsity}`;
  if (q === undefined) return sparse;
  const zeros =
    typeof q.zeros !== 'number'
      ? ` zeros(${printConstant(q.zeros, options)})`
      : q.zeros === 0
        ? ''
        : ` zeros(${printNumber(q.zeros)})`;
  const phase = q.phase.some((n) => n !== 0) ? ` phase(${q.phase.join(',')})` : '';
  const rounded = q.rounded === dtype ? '' : ` rounded ${q.rounded}`;
  return ` scales(${printConstant(q.scales, options)})${zeros} block(${q.block.join(',')})${phase}${rounded}${sparse}`;
}

/** Source positions of the view's elements, row-major. */
function* positionsOf({ shape, offset, strides }: Constant): Generator<number> {
  const index = shape.map(() => 0);
  let at = offset;
  for (let left = elementCount(shape); left > 0; left--) {
    yield at;
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
}

function elementTexts(constant: Constant): string[] {
  const { stored, source } = constant;
  const width = DTYPE_BITS[stored];
  return [...positionsOf(constant)].map((position) => {
    const firstByte = Math.floor((position * width) / 8);
    const bytes = new Uint8Array(Math.ceil(((position + 1) * width) / 8) - firstByte);
    source.read(firstByte, bytes);
    if (width % 8 === 0) return printElement(stored, readBits(bytes, stored, 0));
    return printElement(stored, subByte(bytes, position * width - firstByte * 8, width));
  });
}

/** `width` bits from bit `start` on, low bits first. */
function subByte(bytes: Uint8Array, start: number, width: number): bigint {
  let bits = 0;
  for (let i = 0; i < width; i++) bits |= ((bytes[(start + i) >> 3] >> ((start + i) & 7)) & 1) << i;
  return BigInt(bits);
}

/** FNV-1a over the bits of the view's elements: equal contents hash equal however they are stored. */
export function hashConstant(constant: Constant): string {
  const { stored, source, shape } = constant;
  const bytes = new Uint8Array(source.byteLength);
  source.read(0, bytes);
  let hash = 0x811c9dc5;
  const step = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193);
  };
  for (const position of positionsOf(constant)) {
    let bits = readBits(bytes, stored, position);
    for (let left = bytesFor(stored, 1); left > 0; left--, bits >>= 8n) step(Number(bits & 0xffn));
  }
  for (const extent of shape) step(extent & 0xff);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

export const printTensorType = ({ dtype, shape }: TensorType): string => `${dtype}[${shape.map(dimText).join(',')}]`;

/** As dim.ts prints it, with symbols that are not plain names in quotes. */
function dimText(dim: Dim): string {
  if (isKnown(dim)) return String(dim);
  const symbol = (name: string): string => (/^[A-Za-z_][\w.]*$/.test(name) ? name : JSON.stringify(name));
  let text = '';
  const terms = [...dim.terms].sort(([a], [b]) => Number(a === '') - Number(b === ''));
  for (const [monomial, coefficient] of terms) {
    const size = Math.abs(coefficient);
    const product = monomial.split('*').map(symbol).join('*');
    const part = monomial === '' ? String(size) : size === 1 ? product : `${size}*${product}`;
    text += text === '' ? (coefficient < 0 ? `-${part}` : part) : coefficient < 0 ? ` - ${part}` : ` + ${part}`;
  }
  return text;
}

const printValue = (name: string): string => `%${printWord(name)}`;

/** Plain where the parser can see its end, else in quotes. */
export const printWord = (word: string): string =>
  /^[\w./$-]+(?::+[\w./$-]+)*$/.test(word) && word !== '_' && !word.includes('//') ? word : JSON.stringify(word);

/** The version that most ops of ai.onnx have, the newest of equally many; null when there are none. */
function commonVersion(graph: Graph): number | null {
  const counts = new Map<number, number>();
  for (const { kind, version } of graph.ops) {
    if (!kind.includes('.')) counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  const ranked = [...counts].sort(([va, a], [vb, b]) => b - a || vb - va);
  return ranked.length === 0 ? null : ranked[0][0];
}
