/**
 * Reads the `.wir` text form of graphs (print.ts). Ids are given as canonical.ts numbers them: inputs, captures,
 * constants, op outputs; ops stay in the order of the text. Refuses what has no reading, with line and column;
 * whether the graph makes sense is for verify/graph.ts.
 */
import type { ByteSource, Constant } from './constant.ts';
import { Cursor } from './cursor.ts';
import type { Attrs, AttrValue, Graph, Op, Origin } from './graph.ts';
import { id, type ValueId } from './ids.ts';
import { parseNumber } from './literal.ts';
import { ConstantReader, parseTensorType } from './parse-constant.ts';
import type { TensorType } from './types.ts';

export interface ParseOptions {
  /** Shown in diagnostics. */
  readonly file?: string;
  /** What `@"label"` refers to; other labels become opaque sources. */
  readonly sources?: ReadonlyMap<string, ByteSource>;
}

/** Version of ai.onnx ops where the text names none. */
export const DEFAULT_OPSET = 21;

/** Throws Diagnosed, code `wir/..`. */
export function parseGraph(text: string, options: ParseOptions = {}): Graph {
  const cursor = new Cursor(text, options.file ?? 'text');
  const parser: Parser = { cursor, constants: new ConstantReader(cursor, options.sources ?? new Map()) };
  const graph = graphAt(parser, DEFAULT_OPSET);
  if (!cursor.atEnd()) cursor.expected('the end of the text');
  return graph;
}

interface Parser {
  readonly cursor: Cursor;
  readonly constants: ConstantReader;
}

/** Values of one graph while it is read: a kind decides the order of the final ids. */
class Values {
  readonly names: string[] = [];
  readonly types: TensorType[] = [];
  readonly ranks: number[] = [];
  readonly byName = new Map<string, number>();
  readonly #cursor: Cursor;
  constructor(cursor: Cursor) {
    this.#cursor = cursor;
  }
  /** `rank`: 0 input, 1 capture, 2 constant, 3 op output. */
  define(name: string, type: TensorType, rank: number, offset: number): number {
    if (this.byName.has(name)) this.#cursor.fail('wir/name', `%${name} is defined twice`, offset);
    this.byName.set(name, this.names.length);
    this.names.push(name);
    this.types.push(type);
    this.ranks.push(rank);
    return this.names.length - 1;
  }
  /** Old index -> final id. */
  numbering(): ValueId[] {
    const order = [...this.names.keys()].sort((a, b) => this.ranks[a] - this.ranks[b] || a - b);
    const ids = new Array<ValueId>(order.length);
    for (const [index, old] of order.entries()) ids[old] = id<'value'>(index);
    return ids;
  }
}

function graphAt(parser: Parser, outerOpset: number): Graph {
  const { cursor } = parser;
  cursor.expect('graph');
  const name = cursor.word('the name of the graph');
  const opset = cursor.match(/opset\b/y) === undefined ? outerOpset : cursor.integer('the version of ai.onnx');
  const values = new Values(cursor);
  const inputs = list(cursor, '(', ')', () => typedValue(parser, values, 0));
  const captures = new Map<number, string>();
  if (cursor.match(/captures\b/y) !== undefined) {
    list(cursor, '(', ')', () => {
      const inner = typedValue(parser, values, 1);
      cursor.expect('=');
      captures.set(inner, valueName(cursor, 'the outer value'));
    });
  }
  cursor.expect('->');
  // Outputs are named before they are defined.
  const outputs: { name: string; offset: number }[] = [];
  if (cursor.take('(')) cursor.expect(')');
  else {
    do {
      const text = valueName(cursor, "an output, or '()'");
      outputs.push({ name: text, offset: cursor.offset - 1 });
    } while (cursor.take(','));
  }
  cursor.expect('{');
  const constants = new Map<number, Constant>();
  const ops: Op[] = [];
  while (!cursor.take('}')) statement(parser, values, constants, ops, opset);

  const ids = values.numbering();
  const order = [...ids.keys()].sort((a, b) => ids[a] - ids[b]);
  const at = (v: number): ValueId => ids[v];
  const renumber = (old: readonly (ValueId | null)[]) => old.map((v) => (v === null ? null : at(v)));
  const sorted = <V>(map: ReadonlyMap<number, V>): Map<ValueId, V> =>
    new Map([...map].map(([v, x]): [ValueId, V] => [at(v), x]).sort(([a], [b]) => a - b));
  return {
    name,
    ops: ops.map((op) => ({ ...op, inputs: renumber(op.inputs), outputs: renumber(op.outputs) })),
    types: order.map((v) => values.types[v]),
    names: order.map((v) => values.names[v]),
    constants: sorted(constants),
    inputs: inputs.map(at),
    outputs: outputs.map(({ name: output, offset }) => at(lookUp(cursor, values, output, offset))),
    captures: sorted(captures),
  };
}

/** `%x = const ..` or `%a: T, _ = Kind %x, _ {attrs}  // node N by p`. */
function statement(parser: Parser, values: Values, constants: Map<number, Constant>, ops: Op[], opset: number): void {
  const { cursor } = parser;
  const outputs: { name: string; type: TensorType; offset: number }[] = [];
  const order: (number | null)[] = [];
  if (cursor.take('(')) cursor.expect(')');
  else {
    do {
      if (cursor.match(/_(?![\w./$:-])/y) !== undefined) {
        order.push(null);
        continue;
      }
      const name = valueName(cursor, "a value, '_' or '}'");
      const offset = cursor.offset - 1;
      if (outputs.length === 0 && order.length === 0 && cursor.take('=')) {
        cursor.expect('const');
        const constant = parser.constants.read(name);
        const type = { dtype: constant.dtype, shape: constant.shape };
        constants.set(values.define(name, type, 2, offset), constant);
        return;
      }
      cursor.expect(':');
      order.push(outputs.length);
      outputs.push({ name, type: parseTensorType(cursor), offset });
    } while (cursor.take(','));
  }
  cursor.expect('=');
  const kind = cursor.word('the kind of an op');
  const versioned = cursor.matchOnLine(/@(?=\d)/y) !== undefined;
  const version = versioned ? cursor.integer('a version') : kind.includes('.') ? 1 : opset;
  const inputs = operands(cursor, values);
  const attrs = cursor.matchOnLine(/\{/y) === undefined ? {} : attributes(parser, opset);
  const defined = outputs.map((o) => id<'value'>(values.define(o.name, o.type, 3, o.offset)));
  const origin = originAt(cursor, outputs[0]?.name ?? '');
  ops.push({ kind, version, inputs, outputs: order.map((i) => (i === null ? null : defined[i])), attrs, origin });
}

/** Operands start on the line of the kind: the next line is the next statement. */
function operands(cursor: Cursor, values: Values): (ValueId | null)[] {
  const inputs: (ValueId | null)[] = [];
  if (cursor.matchOnLine(/(?=[%_])/y) === undefined) return inputs;
  do {
    if (cursor.match(/_(?![\w./$:-])/y) !== undefined) inputs.push(null);
    else {
      const name = valueName(cursor, "a value or '_'");
      inputs.push(id<'value'>(lookUp(cursor, values, name, cursor.offset - 1)));
    }
  } while (cursor.matchOnLine(/,/y) !== undefined);
  return inputs;
}

/** After `{`. */
function attributes(parser: Parser, opset: number): Attrs {
  const { cursor } = parser;
  const attrs: Record<string, AttrValue> = {};
  do {
    const key = cursor.word('the name of an attribute');
    if (Object.hasOwn(attrs, key)) cursor.fail('wir/name', `the attribute '${key}' is given twice`, cursor.offset - 1);
    cursor.expect('=');
    // defineProperty: a key such as __proto__ is data here.
    const value = attribute(parser, opset, key);
    Object.defineProperty(attrs, key, { value, enumerable: true, writable: true, configurable: true });
  } while (cursor.take(','));
  cursor.expect('}');
  return attrs;
}

function attribute(parser: Parser, opset: number, key: string): AttrValue {
  const { cursor } = parser;
  const scalar = scalarAttribute(cursor);
  if (scalar !== undefined) return scalar;
  if (cursor.match(/true\b/y) !== undefined) return true;
  if (cursor.match(/false\b/y) !== undefined) return false;
  if (cursor.match(/const\b/y) !== undefined) return parser.constants.read(key);
  if (cursor.match(/(?=graph\b)/y) !== undefined) return { graph: graphAt(parser, opset) };
  if (cursor.match(/(?=\[)/y) === undefined) return cursor.expected('the value of an attribute');
  const items = list(cursor, '[', ']', () => scalarAttribute(cursor) ?? cursor.expected('a number or a string'));
  const numbers = items.filter((item) => typeof item === 'number');
  const strings = items.filter((item) => typeof item === 'string');
  if (numbers.length > 0 && strings.length > 0) cursor.fail('wir/syntax', 'a list holds numbers or strings, not both');
  return strings.length > 0 ? strings : numbers;
}

function scalarAttribute(cursor: Cursor): number | string | undefined {
  const quoted = cursor.match(/"(?:[^"\\\n]|\\.)*"/y);
  if (quoted !== undefined) return cursor.unquote(quoted);
  const number = cursor.match(/-?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|inf\b)|nan\b/iy);
  return number === undefined ? undefined : parseNumber(number);
}

/** `// node /fc1/MatMul by fold-constants, cse`; other comments mean nothing. */
function originAt(cursor: Cursor, implied: string): Origin {
  const comment = cursor.lineComment();
  const parts =
    comment === undefined
      ? null
      : /^(?:node ("(?:[^"\\]|\\.)*"|.*?))?(?:(?:^| )by ([\w./:-]+(?:, [\w./:-]+)*))?$/.exec(comment);
  if (parts === null) return { node: implied, by: [] };
  const node = parts[1] === undefined ? implied : parts[1].startsWith('"') ? cursor.unquote(parts[1]) : parts[1];
  return { node, by: parts[2] === undefined ? [] : parts[2].split(', ') };
}

function typedValue({ cursor }: Parser, values: Values, rank: number): number {
  const name = valueName(cursor, 'a value');
  const offset = cursor.offset - 1;
  cursor.expect(':');
  return values.define(name, parseTensorType(cursor), rank, offset);
}

function valueName(cursor: Cursor, what: string): string {
  if (cursor.match(/%(?=["\w./$-])/y) === undefined) cursor.expected(what);
  return cursor.word(what);
}

function lookUp(cursor: Cursor, values: Values, name: string, offset: number): number {
  const value = values.byName.get(name);
  return value ?? cursor.fail('wir/name', `%${name} is not defined before its use`, offset);
}

function list<V>(cursor: Cursor, open: string, close: string, item: () => V): V[] {
  const items: V[] = [];
  cursor.expect(open);
  if (cursor.take(close)) return items;
  do items.push(item());
  while (cursor.take(','));
  cursor.expect(close);
  return items;
}
