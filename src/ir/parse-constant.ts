/** The `.wir` text of types and constants: what follows `:` and `const`. */
import {
  type ByteSource,
  bytesSource,
  type Constant,
  denseConstant,
  elementCount,
  groupCount,
  rowMajor,
  type Sparsity,
} from './constant.ts';
import type { Cursor } from './cursor.ts';
import { addDims, type Dim, isKnown, mulDims, sym } from './dim.ts';
import { parseElement, parseNumber, writeBits } from './literal.ts';
import { GENERATORS, generatedSource, opaqueSource } from './sources.ts';
import { bytesFor, DTYPE_BITS, type DType, type TensorType } from './types.ts';

/** `f16[2*S + 1,64]`. */
export function parseTensorType(cursor: Cursor): TensorType {
  const dtype = parseDType(cursor);
  cursor.expect('[');
  const shape: Dim[] = [];
  if (cursor.take(']')) return { dtype, shape };
  do shape.push(parseDimAt(cursor));
  while (cursor.take(','));
  cursor.expect(']');
  return { dtype, shape };
}

function parseDType(cursor: Cursor): DType {
  const start = cursor.offset;
  const word = cursor.match(/[a-z]\w*/y) ?? cursor.expected('an element type');
  const known = (text: string): text is DType => Object.hasOwn(DTYPE_BITS, text);
  if (known(word)) return word;
  return cursor.fail(
    'wir/type',
    `'${word}' is not an element type; those are ${Object.keys(DTYPE_BITS).join(', ')}`,
    start + 1,
  );
}

function parseDimAt(cursor: Cursor): Dim {
  const factor = (): Dim => {
    const quoted = cursor.match(/"(?:[^"\\\n]|\\.)*"/y);
    if (quoted !== undefined) return sym(cursor.unquote(quoted));
    const number = cursor.match(/\d+/y);
    return number === undefined ? sym(cursor.match(/[A-Za-z_][\w.]*/y) ?? cursor.expected('a dim')) : Number(number);
  };
  let sum: Dim = 0;
  let sign = cursor.take('-') ? -1 : 1;
  for (;;) {
    let term = mulDims(sign, factor());
    while (cursor.take('*')) term = mulDims(term, factor());
    sum = addDims(sum, term);
    if (cursor.take('+')) sign = 1;
    else if (cursor.take('-')) sign = -1;
    else return sum;
  }
}

/** Reads constants; one source per label, so that views of one file are views of one source. */
export class ConstantReader {
  readonly #cursor: Cursor;
  readonly #sources: ReadonlyMap<string, ByteSource>;
  /** They reach as far as their views in the text do, which is known at the end of the text only. */
  readonly #opaque = new Map<string, { source: ByteSource; extent: { bytes: number } }>();

  constructor(cursor: Cursor, sources: ReadonlyMap<string, ByteSource>) {
    this.#cursor = cursor;
    this.#sources = sources;
  }

  /** After `const`. `name` labels the source of elements given in full. */
  read(name: string): Constant {
    const cursor = this.#cursor;
    const start = cursor.offset;
    const { dtype, shape: dims } = parseTensorType(cursor);
    if (!dims.every(isKnown)) return cursor.fail('wir/constant', `%${name}: a constant has known dims only`, start + 1);
    return this.#compression(name, this.#elements(name, dtype, dims.filter(isKnown)));
  }

  /** Elements, or codes, in full, generated, or by the label of their source. */
  #elements(name: string, dtype: DType, shape: readonly number[]): Constant {
    const cursor = this.#cursor;
    const label = cursor.match(/@"(?:[^"\\\n]|\\.)*"/y);
    if (label !== undefined) return this.#view(dtype, shape, cursor.unquote(label.slice(1)));
    const generator = cursor.match(/[a-z]+\b(?<!\btrue|\bfalse|\bnan|\binf)/y);
    return generator === undefined ? this.#full(name, dtype, shape) : this.#generated(generator, dtype, shape);
  }

  /** What follows the elements of a compressed constant (printCompression): `scales(..) zeros(..) block(..) ..`. */
  #compression(name: string, codes: Constant): Constant {
    const cursor = this.#cursor;
    const { shape } = codes;
    const start = cursor.offset;
    if (cursor.matchOnLine(/scales\b/y) === undefined) return this.#sparse(codes);
    cursor.expect('(');
    const scales = this.read(`${name}.scales`);
    cursor.expect(')');
    let zeros: Constant | number = 0;
    if (cursor.match(/zeros\b/y) !== undefined) {
      cursor.expect('(');
      const number = cursor.match(/-?\d[\w.]*(?:(?<=[eE])[-+]\d+)?/y);
      zeros = number === undefined ? this.read(`${name}.zeros`) : (parseNumber(number) ?? cursor.expected('a number'));
      cursor.expect(')');
    }
    if (cursor.match(/block\b/y) === undefined) cursor.expected("'block'");
    const block = this.#integers(shape.length, 'elements that share a scale');
    const phased = cursor.match(/phase\b/y) !== undefined;
    const phase = phased ? this.#integers(shape.length, 'elements cut off') : shape.map(() => 0);
    const rounded = cursor.match(/rounded\b/y) === undefined ? codes.dtype : parseDType(cursor);
    const wrong = (what: string): never => cursor.fail('wir/constant', `%${name}: ${what}`, start + 1);
    const d = block.findIndex((n, i) => n < 1 || phase[i] >= n);
    if (d >= 0) wrong(`dim ${d} has blocks of ${block[d]} of which ${phase[d]} are cut off`);
    const groups = shape.map((n, i) => groupCount(n, block[i], phase[i]));
    for (const c of typeof zeros === 'number' ? [scales] : [scales, zeros])
      if (c.shape.join() !== groups.join()) wrong(`[${groups}] groups, but [${c.shape}] scales or zero points`);
    return this.#sparse({ ...codes, quantization: { scales, zeros, block, phase, rounded } });
  }

  #sparse(constant: Constant): Constant {
    const cursor = this.#cursor;
    if (cursor.matchOnLine(/sparse\b/y) === undefined) return constant;
    const word = cursor.match(/[a-z]+\d*|\d+:\d+/y) ?? '';
    const known = (text: string): text is Sparsity => /^(?:bitmap|gap4|csc8|csc16|[1-9]\d*:[1-9]\d*)$/.test(text);
    return known(word) ? { ...constant, sparsity: word } : cursor.expected('bitmap, gap4, csc8, csc16 or n:m');
  }

  #integers(count: number, what: string): number[] {
    const cursor = this.#cursor;
    cursor.expect('(');
    const given: number[] = [];
    if (!cursor.take(')')) {
      do given.push(cursor.integer(what));
      while (cursor.take(','));
      cursor.expect(')');
    }
    if (given.length !== count) cursor.fail('wir/constant', `${count} dims but ${given.length} numbers of ${what}`);
    return given;
  }

  #full(name: string, dtype: DType, shape: readonly number[]): Constant {
    const cursor = this.#cursor;
    const texts: { text: string; offset: number }[] = [];
    const element = (): void => {
      const text = cursor.match(/#[0-9a-f]+|-?[\w.]+(?:(?<=[eE])[-+]\d+)?/iy) ?? cursor.expected('an element');
      texts.push({ text, offset: cursor.offset - text.length });
    };
    if (!cursor.take('[')) element();
    else if (!cursor.take(']')) {
      do element();
      while (cursor.take(','));
      cursor.expect(']');
    }
    const stored = this.#stored(dtype);
    const count = elementCount(shape);
    if (texts.length !== count) {
      cursor.fail('wir/constant', `%${name} has ${count} elements by its type, ${texts.length} in the text`);
    }
    const bytes = new Uint8Array(bytesFor(stored, count));
    for (const [i, { text, offset }] of texts.entries()) {
      const bits =
        parseElement(stored, text) ?? cursor.fail('wir/constant', `'${text}' is not an element of ${stored}`, offset);
      writeBits(bytes, stored, i, bits);
    }
    return { ...denseConstant(dtype, shape, bytesSource(name, bytes)), stored };
  }

  #generated(name: string, dtype: DType, shape: readonly number[]): Constant {
    const cursor = this.#cursor;
    if (!Object.hasOwn(GENERATORS, name)) {
      cursor.fail('wir/constant', `'${name}' generates nothing; use one of ${Object.keys(GENERATORS).join(', ')}`);
    }
    const args: Record<string, number> = {};
    if (cursor.take('(') && !cursor.take(')')) {
      do {
        const key = cursor.word('the name of an argument');
        if (!Object.hasOwn(GENERATORS[name], key)) cursor.fail('wir/constant', `${name} has no argument '${key}'`);
        cursor.expect('=');
        args[key] = parseNumber(cursor.match(/-?[\w.]+(?:(?<=[eE])[-+]\d+)?/y) ?? '') ?? cursor.expected('a number');
      } while (cursor.take(','));
      cursor.expect(')');
    }
    const count = cursor.match(/of\b/y) === undefined ? elementCount(shape) : cursor.integer('a number of elements');
    const { offset, strides, stored } = this.#where(dtype, shape);
    return { dtype, shape, stored, source: generatedSource(name, args, stored, count), offset, strides };
  }

  #view(dtype: DType, shape: readonly number[], label: string): Constant {
    const { offset, strides, stored } = this.#where(dtype, shape);
    const hash = this.#cursor.match(/#[0-9a-f]+/y)?.slice(1) ?? null;
    const last = shape.reduce((sum, extent, d) => sum + Math.max(0, (extent - 1) * strides[d]), offset);
    const source = this.#sources.get(label) ?? this.#opaqueSource(label, bytesFor(stored, last + 1), hash);
    return { dtype, shape, stored, source, offset, strides };
  }

  #opaqueSource(label: string, byteLength: number, hash: string | null): ByteSource {
    const key = `${label}#${hash ?? ''}`;
    const known = this.#opaque.get(key);
    const extent = known?.extent ?? { bytes: 0 };
    extent.bytes = Math.max(extent.bytes, byteLength);
    const source = known?.source ?? opaqueSource(label, () => extent.bytes, hash);
    this.#opaque.set(key, { source, extent });
    return source;
  }

  #where(dtype: DType, shape: readonly number[]): { offset: number; strides: readonly number[]; stored: DType } {
    const cursor = this.#cursor;
    const offset = cursor.take('+') ? cursor.integer('an offset in elements') : 0;
    let strides: readonly number[] = rowMajor(shape);
    if (cursor.match(/strides\b/y) !== undefined) {
      cursor.expect('(');
      const given: number[] = [];
      do given.push(cursor.integer('a stride'));
      while (cursor.take(','));
      cursor.expect(')');
      if (given.length !== shape.length)
        cursor.fail('wir/constant', `${shape.length} dims but ${given.length} strides`);
      strides = given;
    }
    return { offset, strides, stored: this.#stored(dtype) };
  }

  #stored(dtype: DType): DType {
    return this.#cursor.match(/stored\b/y) === undefined ? dtype : parseDType(this.#cursor);
  }
}
