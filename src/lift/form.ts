/**
 * Forms: what a value of the ONNX graph is in terms of token values.
 *
 * Exporters write the same attention in a hundred ways: reshapes, transposes, expands, slices and concats in
 * any order. Lifting does not match those spellings. It pushes element numbers through them at a small probe
 * size, so that every value becomes a *form*: for each of its elements, which element of a token value
 * [batch, tokens, features] it is, times a scale, times one element of a control value (the cosine of a
 * position, say); or the sum of two such terms (a rotation). What an op means is then read off the numbers.
 */
import type { Dim } from '../ir/dim.ts';
import type { ValueId } from '../ir/ids.ts';

/** A token value of the lifted graph, or the keys or values of a cache. Element = (b * tokens + t) * features + f. */
export interface Base {
  readonly kind: 'value' | 'past' | 'cache';
  /** In the lifted graph. Of a past: the graph input; of a cache: the value appended to it. */
  readonly value: ValueId;
  readonly batch: number;
  /** Tokens at the probe, and as a dim. */
  readonly tokens: number;
  readonly tokenDim: Dim;
  readonly features: number;
  /** Of past and cache. */
  readonly past?: ValueId;
  readonly heads?: number;
}

export interface Terms {
  /** Element of the base; -1 = this element has no such term. */
  readonly index: Int32Array;
  readonly scale: Float64Array;
  /** Control value (of the source graph) that multiplies the element, and which element of it; -1 = none. */
  readonly control: Int32Array;
  readonly controlIndex: Int32Array;
}

export interface Form {
  /** At the probe. */
  readonly shape: readonly number[];
  readonly base: Base;
  /** One term, or two that are added. */
  readonly terms: readonly Terms[];
}

export const sizeOfBase = ({ batch, tokens, features }: Base): number => batch * tokens * features;

/** Every element is the base element of that number, seen as `shape`. */
export function formOf(base: Base, shape: readonly number[], index?: Int32Array): Form {
  return { shape, base, terms: [plainTerms(index ?? countTo(sizeOfBase(base)))] };
}

/** 0, 1, 2, .. Loops here and below, since `from` with a function walks an iterator: forms have millions of elements. */
function countTo(n: number): Int32Array {
  const out = new Int32Array(n);
  for (let i = 0; i < n; i++) out[i] = i;
  return out;
}

const plainTerms = (index: Int32Array): Terms => ({
  index,
  scale: new Float64Array(index.length).fill(1),
  control: new Int32Array(index.length).fill(-1),
  controlIndex: new Int32Array(index.length).fill(-1),
});

/** Element i of the result is element `from[i]` of the form. */
export function pick(form: Form, from: Int32Array, shape: readonly number[]): Form {
  const n = from.length;
  const terms = form.terms.map((t): Terms => {
    const [index, control, controlIndex] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)];
    const scale = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const at = from[i];
      index[i] = t.index[at];
      scale[i] = t.scale[at];
      control[i] = t.control[at];
      controlIndex[i] = t.controlIndex[at];
    }
    return { index, scale, control, controlIndex };
  });
  return { shape, base: form.base, terms };
}

export const scaled = (form: Form, factor: number): Form => ({
  ...form,
  terms: form.terms.map((t) => ({ ...t, scale: t.scale.map((s) => s * factor) })),
});

/** The form times a control value, element by element; undefined where a term already has a control. */
export function controlled(form: Form, control: ValueId, controlIndex: Int32Array): Form | undefined {
  if (form.terms.length !== 1 || form.terms[0].control.some((c) => c >= 0)) return undefined;
  return {
    ...form,
    terms: [{ ...form.terms[0], control: new Int32Array(controlIndex.length).fill(control), controlIndex }],
  };
}

/** The same form over another base that holds the same elements elsewhere. */
export const rebased = (form: Form, base: Base, move: (index: number) => number): Form => ({
  ...form,
  base,
  terms: form.terms.map((t) => ({ ...t, index: t.index.map((i) => (i < 0 ? i : move(i))) })),
});

/** Sum of two forms over one base; undefined where that needs more than two terms. */
export function added(a: Form, b: Form): Form | undefined {
  if (a.base !== b.base || a.terms.length + b.terms.length > 2) return undefined;
  return { shape: a.shape, base: a.base, terms: [...a.terms, ...b.terms] };
}

/** Forms one after another in element order; `from` numbers the elements of all parts together. */
export function joined(parts: readonly Form[]): Form | undefined {
  const [first] = parts;
  if (parts.some((p) => p.base !== first.base)) return undefined;
  const depth = Math.max(...parts.map((p) => p.terms.length));
  const terms: Terms[] = [];
  for (let d = 0; d < depth; d++) {
    const padded = parts.map((p) => p.terms[d] ?? noTerms(p.terms[0].index.length));
    terms.push({
      index: concatInts(padded.map((t) => t.index)),
      scale: concatFloats(padded.map((t) => t.scale)),
      control: concatInts(padded.map((t) => t.control)),
      controlIndex: concatInts(padded.map((t) => t.controlIndex)),
    });
  }
  return { shape: [terms[0].index.length], base: first.base, terms };
}

const noTerms = (n: number): Terms => ({
  index: new Int32Array(n).fill(-1),
  scale: new Float64Array(n),
  control: new Int32Array(n).fill(-1),
  controlIndex: new Int32Array(n).fill(-1),
});

export function concatInts(parts: readonly Int32Array[]): Int32Array {
  const out = new Int32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function concatFloats(parts: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** One term, no control: the form is a selection of base elements times one number. */
export function uniformScale(form: Form): number | undefined {
  const [t] = form.terms;
  if (form.terms.length !== 1 || t.index.length === 0) return undefined;
  const first = t.scale[0];
  for (let i = 0; i < t.index.length; i++)
    if (t.scale[i] !== first || t.control[i] >= 0 || t.index[i] < 0) return undefined;
  return first;
}

/** Index arithmetic of numpy broadcasting: which element of `from` stands at each element of `to`. */
export function broadcastIndex(from: readonly number[], to: readonly number[]): Int32Array {
  const n = to.reduce((a, b) => a * b, 1);
  const out = new Int32Array(n);
  const pad = to.length - from.length;
  const strides = new Array<number>(to.length).fill(0);
  let step = 1;
  for (let d = from.length - 1; d >= 0; d--) {
    strides[d + pad] = from[d] === 1 ? 0 : step;
    step *= from[d];
  }
  const position = new Array<number>(to.length).fill(0);
  for (let i = 0, at = 0; i < n; i++) {
    out[i] = at;
    for (let d = to.length - 1; d >= 0; d--) {
      at += strides[d];
      if (++position[d] < to[d]) break;
      at -= strides[d] * to[d];
      position[d] = 0;
    }
  }
  return out;
}
