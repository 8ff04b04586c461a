/**
 * Rotations: a form whose elements are cos * own + (+-sin) * partner. The pairing (halves or neighbours), head
 * size and rotary share are read off the indices; cos and sin rows stay host values, one row a token.
 */
import type { ValueId } from '../ir/ids.ts';
import type { Form, Terms } from './form.ts';
import type { Lifter, Plain } from './lifter.ts';
import { asAngles } from './positions.ts';

interface Element {
  readonly own: number;
  readonly partner: number;
  readonly sign: number;
  readonly cos: number;
  readonly sin: number;
}

/** The rotated token value; the form's elements by their own (cosine) feature. */
export function liftRotation(l: Lifter, form: Form): Plain & { scale: number } {
  if (form.terms.length === 1) return liftGate(l, form);
  const [a, b] = form.terms;
  const { cosValue, sinValue, scale } = anglesOf(l, a, b);
  const n = a.index.length;
  const at = (i: number): Element => {
    const [own, other] = a.control[i] === cosValue || a.control[i] < 0 ? [a, b] : [b, a];
    const present = other.index[i] >= 0;
    return {
      own: own.index[i],
      partner: present ? other.index[i] : -1,
      sign: present ? Math.sign(other.scale[i]) : 0,
      cos: own.controlIndex[i],
      sin: other.controlIndex[i],
    };
  };
  const { base } = form;
  const byFeature = new Array<Element | undefined>(base.features).fill(undefined);
  const index = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const e = at(i);
    index[i] = e.own;
    if (e.own < base.features) byFeature[e.own] ??= e;
    if (e.partner >= 0 && Math.floor(e.own / base.features) !== Math.floor(e.partner / base.features))
      l.refuse('mixes tokens outside of attention');
  }
  const elements = byFeature.map((e) => e ?? l.refuse('rotates only some features of a token value'));
  const shape = rotaryShape(l, elements);
  const offsets = { cos: [] as number[], sin: [] as number[] };
  for (let i = 0; i < shape.half; i++) {
    const e = elements[shape.interleaved ? 2 * i : i];
    offsets.cos.push(e.cos);
    offsets.sin.push(e.sin);
  }
  const rowStart = (pickIndex: (e: Element) => number): Map<number, number> => {
    const first = new Map<number, number>();
    for (let i = 0; i < n; i++) {
      const e = at(i);
      if (e.partner >= 0 && e.own % base.features === 0) first.set(Math.floor(e.own / base.features), pickIndex(e));
    }
    return first;
  };
  const rows = {
    cos: { value: cosValue, offsets: offsets.cos, starts: rowStart((e) => e.cos) },
    sin: { value: sinValue, offsets: offsets.sin, starts: rowStart((e) => e.sin) },
  };
  const [cos, sin] = asAngles(l, rows.cos, rows.sin, base) ?? [
    controlRows(l, cosValue, base, rows.cos.starts, offsets.cos),
    controlRows(l, sinValue, base, rows.sin.starts, offsets.sin),
  ];
  const { heads, interleaved, half } = shape;
  const out = l.emitLike(
    base,
    'wafc.rope',
    [base.value, cos, sin],
    { heads, interleaved: interleaved ? 1 : 0, rotary: 2 * half },
    1,
  );
  return { base: out, index, scale };
}

/** Which control value is the sine (it stands in the negative terms) and which the cosine. */
function anglesOf(l: Lifter, a: Terms, b: Terms): { cosValue: ValueId; sinValue: ValueId; scale: number } {
  let scale = 0;
  for (let i = 0; i < a.index.length; i++) {
    for (const [t, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (t.index[i] < 0) continue;
      scale ||= Math.abs(t.scale[i]);
      if (Math.abs(t.scale[i]) !== scale) l.refuse('scales the parts of a rotation differently');
      if (
        t.scale[i] < 0 &&
        other.index[i] >= 0 &&
        t.control[i] >= 0 &&
        other.control[i] >= 0 &&
        other.control[i] !== t.control[i]
      ) {
        return { sinValue: t.control[i] as ValueId, cosValue: other.control[i] as ValueId, scale };
      }
    }
  }
  return l.refuse('combines features in a way that is not a rotation by cosine and sine');
}

/** Head size, rotary half and pairing, checked on every feature. */
function rotaryShape(l: Lifter, e: readonly Element[]): { heads: number; half: number; interleaved: boolean } {
  const n = e.length;
  const first = e[0].partner;
  if (first <= 0) l.refuse('leaves the first feature of a head unrotated');
  const interleaved = first === 1 && n > 2 && e[2].partner === 3;
  const rotated = (f: number): boolean => f < n && e[f].partner >= 0;
  const repeats = e.findIndex((x, f) => f > 0 && x.partner >= 0 && x.cos === e[0].cos && x.partner - f === first);
  const stop = e.findIndex((x) => x.partner < 0);
  const half = interleaved ? (stop >= 0 ? stop : repeats > 0 ? repeats : n) / 2 : first;
  let headSize = 2 * half;
  while (headSize < n && !rotated(headSize)) headSize++;
  if (n % headSize !== 0) l.refuse(`rotates heads of ${headSize} of ${n} features`);
  for (let f = 0; f < n; f++) {
    const d = f % headSize;
    const start = f - d;
    const second = interleaved ? d % 2 === 1 : d >= half;
    const expected = d >= 2 * half ? -1 : interleaved ? f + (second ? -1 : 1) : f + (second ? -half : half);
    const like = e[d];
    const agrees =
      e[f].partner === expected &&
      (expected < 0 || (e[f].sign === (second ? 1 : -1) && e[f].cos === like.cos && e[f].sin === like.sin));
    if (!agrees) l.refuse(`rotates feature ${f - start} of a head in no known way`);
  }
  return { heads: n / headSize, half, interleaved };
}

/**
 * Rows [1|B, S, R] of a control value: token t's row starts where `rowStart` says; `offsets` are the elements of
 * token 0. The value must be a plain table of S (or B*S) rows.
 */
export function controlRows(
  l: Lifter,
  value: ValueId,
  base: { readonly batch: number; readonly tokens: number },
  rowStart: ReadonlyMap<number, number>,
  offsets: readonly number[],
): ValueId {
  const { tokens, batch } = base;
  const count = l.probe.tensor(value).data.length;
  const start0 = rowStart.get(0) ?? 0;
  const perBatch = batch > 1 && rowStart.get(tokens) !== undefined && rowStart.get(tokens) !== start0;
  const rows = perBatch ? tokens * batch : tokens;
  const stride = count / rows;
  for (const [row, start] of rowStart) {
    const expected = start0 + (perBatch ? row : row % tokens) * stride;
    if (start !== expected)
      l.refuse(`reads host value ${l.graph.names[value]} in an order that is not one row a token`);
  }
  if (!Number.isInteger(stride) || offsets.some((o) => o < 0 || o >= stride)) {
    l.refuse(`reads host value ${l.graph.names[value]}, which is not one row a token`);
  }
  const whole = l.reshapeControl(value, [perBatch ? batch : 1, -1, stride]);
  if (offsets.length === stride && offsets.every((o, i) => o === i)) return whole;
  const key = `${whole}/${offsets}`;
  const known = l.rowCache.get(key);
  if (known !== undefined) return known;
  const name = l.graph.names[value];
  const { dtype, shape } = l.builder.typeOf(whole);
  const [out] = l.builder.op({
    kind: 'Gather',
    version: 13,
    inputs: [whole, l.smallConstant(`${name}.columns`, 'i64', [offsets.length], offsets)],
    attrs: { axis: 2 },
    types: [{ dtype, shape: [shape[0], shape[1], offsets.length] }],
    names: [`${name}.row`],
    origin: { node: name, by: ['lift-tokens'] },
  });
  l.rowCache.set(key, out);
  return out;
}

/** One term with a control: the activations are multiplied by host values (a mask, say), one row a token. */
function liftGate(l: Lifter, form: Form): Plain & { scale: number } {
  const { base } = form;
  const [t] = form.terms;
  const value = t.control[0] as ValueId;
  const scale = t.scale[0];
  if (value < 0 || t.control.some((c) => c !== value) || t.scale.some((s) => s !== scale))
    l.refuse('multiplies only some features by a host value');
  const offsets = new Array<number>(base.features).fill(-1);
  const rowStart = new Map<number, number>();
  for (let i = 0; i < t.index.length; i++) {
    const f = t.index[i] % base.features;
    if (t.index[i] < base.features) offsets[f] = t.controlIndex[i];
    if (f === 0) rowStart.set(Math.floor(t.index[i] / base.features), t.controlIndex[i]);
  }
  const one = offsets.every((o) => o === offsets[0]);
  const rows = controlRows(l, value, base, rowStart, one ? [offsets[0]] : offsets);
  return { base: l.emitLike(base, 'Mul', [base.value, rows], {}, 14), index: t.index, scale };
}
