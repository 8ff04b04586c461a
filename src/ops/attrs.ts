/** Typed access to an op's attributes: a wrong kind or a missing one is a located diagnostic, never a silent default. */
import { fail } from '../diag/diagnostic.ts';
import { type AttrValue, isConstantAttr, isGraphAttr, type Op } from '../ir/graph.ts';
import type { AttrReader } from './op.ts';

const isNumbers = (value: AttrValue): value is readonly number[] =>
  Array.isArray(value) && value.every((v) => typeof v === 'number');
const isStrings = (value: AttrValue): value is readonly string[] =>
  Array.isArray(value) && value.every((v) => typeof v === 'string');

function describe(value: AttrValue): string {
  if (isConstantAttr(value)) return `a tensor ${value.dtype}[${value.shape}]`;
  if (isGraphAttr(value)) return 'a graph';
  return Array.isArray(value) ? `[${value}]` : `${typeof value} ${String(value)}`;
}

/** Reads the attributes of `op`; each getter takes the ONNX default as `fallback`, and without one the attribute is required. */
export function attrReader(op: Pick<Op, 'kind' | 'attrs' | 'origin'>): AttrReader {
  const { attrs, kind, origin } = op;
  const get = <T>(
    name: string,
    wanted: string,
    fallback: T | undefined,
    read: (value: AttrValue) => T | undefined,
  ): T => {
    const value = Object.hasOwn(attrs, name) ? attrs[name] : undefined;
    const out = value === undefined ? fallback : read(value);
    if (out !== undefined) return out;
    return fail({
      code: 'onnx/attribute',
      message: `${kind}: attribute ${name}: expected ${wanted}, found ${value === undefined ? 'none' : describe(value)}`,
      node: origin.node,
    });
  };
  return {
    raw: attrs,
    has: (name) => Object.hasOwn(attrs, name),
    int: (name, fallback) =>
      get(name, 'an integer', fallback, (v) =>
        typeof v === 'boolean' ? Number(v) : typeof v === 'number' && Number.isInteger(v) ? v : undefined,
      ),
    float: (name, fallback) => get(name, 'a number', fallback, (v) => (typeof v === 'number' ? v : undefined)),
    string: (name, fallback) => get(name, 'a string', fallback, (v) => (typeof v === 'string' ? v : undefined)),
    ints: (name, fallback) =>
      get(name, 'a list of integers', fallback, (v) => (isNumbers(v) && v.every(Number.isInteger) ? v : undefined)),
    floats: (name, fallback) => get(name, 'a list of numbers', fallback, (v) => (isNumbers(v) ? v : undefined)),
    strings: (name, fallback) => get(name, 'a list of strings', fallback, (v) => (isStrings(v) ? v : undefined)),
    tensor: (name) => get(name, 'a tensor', undefined, (v) => (isConstantAttr(v) ? v : undefined)),
    graph: (name) => get(name, 'a graph', undefined, (v) => (isGraphAttr(v) ? v.graph : undefined)),
  };
}
