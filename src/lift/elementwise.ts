/** Lifting of elementwise ops and of views. */
import { bytesSource, type Constant, denseConstant, elementCount, reshapeConstant } from '../ir/constant.ts';
import type { ValueId } from '../ir/ids.ts';
import { isFloat } from '../ir/types.ts';
import { runOp } from '../exec/reference.ts';
import { opFor } from '../ops/registry.ts';
import { pack } from '../tensor/pack.ts';
import { allocate, tensor, type Tensor } from '../tensor/tensor.ts';
import { maskScores, scaleScores, viewScores } from './attention.ts';
import {
  added,
  type Base,
  broadcastIndex,
  concatInts,
  controlled,
  type Form,
  formOf,
  joined,
  pick,
  scaled,
  sizeOfBase,
  uniformScale,
} from './form.ts';
import type { Lifted, Lifter, Plain } from './lifter.ts';
import { FORBIDDEN } from './mask.ts';

/** Outputs are input elements moved about: the op itself is run on element numbers to see where they go. */
export function liftView(l: Lifter): void {
  const { op } = l;
  const def = opFor(op.kind);
  const wanted = def?.dataInputs === 'all' ? op.inputs.map((_, i) => i) : (def?.dataInputs ?? [0]);
  const dataInputs = wanted.filter((i) => op.inputs[i] !== null && op.inputs[i] !== undefined);
  const firstKind = l.lifted.get(op.inputs[dataInputs[0]] as ValueId)?.kind;
  if (firstKind === 'scores' || firstKind === 'probs' || firstKind === 'nan') return viewScores(l);
  const parts = dataInputs.map((i) => l.data(op.inputs[i] as ValueId));
  const starts: number[] = [];
  let total = 0;
  for (const part of parts) {
    starts.push(total);
    total += elementCount(part.shape);
  }
  const inputs = op.inputs.map((v, i): Tensor | undefined => {
    const at = dataInputs.indexOf(i);
    if (at >= 0) return numbered(parts[at].shape, starts[at]);
    return v === null ? undefined : l.probe.tensor(v);
  });
  const results = runOp(op, inputs);
  const whole = parts.length === 1 ? parts[0] : (joined(parts) ?? joinPast(l, parts));
  if (whole === undefined) return concatFeatures(l, parts, results[0]);
  for (const [o, result] of results.entries()) {
    l.set({ kind: 'data', form: pick(whole, Int32Array.from(result.data), result.shape) }, o);
  }
}

function numbered(shape: readonly number[], start: number): Tensor {
  const data = allocate('f64', elementCount(shape));
  for (let i = 0; i < data.length; i++) data[i] = start + i;
  return tensor('f64', shape, data);
}

/** Concat of a past with the new keys or values: the elements of a cache base, past first. */
function joinPast(l: Lifter, parts: readonly Form[]): Form | undefined {
  const [old, fresh] = parts;
  if (parts.length !== 2 || old.base.kind !== 'past' || uniformScale(old) !== 1) return undefined;
  const { base, index, scale } = l.scaledPlain(fresh);
  if (base.kind !== 'value' || scale !== 1) return undefined;
  const { features } = old.base;
  if (features !== base.features) return undefined;
  const tokens = old.base.tokens + base.tokens;
  const value = l.graph.types[l.op.outputs[0] as ValueId];
  const axis = l.probe
    .shapeOf(l.op.outputs[0] as ValueId)
    .findIndex((n, d) => n === tokens && old.shape[d] === old.base.tokens);
  if (axis < 0) return undefined;
  const cache: Base = { ...old.base, kind: 'cache', value: base.value, tokens, tokenDim: value.shape[axis] };
  const shifted = (i: number, from: Base, by: number): number => {
    const t = Math.floor(i / features);
    return (Math.floor(t / from.tokens) * tokens + (t % from.tokens) + by) * features + (i % features);
  };
  const past = old.terms[0].index.map((i) => shifted(i, old.base, 0));
  const appended = index.map((i) => shifted(i, base, old.base.tokens));
  return formOf(cache, [past.length + appended.length], concatInts([past, appended]));
}

/** Concat of different token values along the features. */
function concatFeatures(l: Lifter, parts: readonly Form[], result: Tensor): void {
  if (l.op.kind !== 'Concat') l.refuse('mixes different activations');
  const plains = parts.map((p) => l.plain(p));
  const [{ base: first }] = plains;
  if (plains.some(({ base }) => base.tokens !== first.tokens || base.batch !== first.batch))
    l.refuse('joins tokens of different sequences');
  const features = plains.reduce((n, p) => n + p.base.features, 0);
  const out = l.emit(
    'wafc.concat',
    plains.map((p) => p.base.value),
    {},
    { ...first, features, dtype: l.dtypeOf(first) },
  );
  let start = 0;
  const index = concatInts(
    plains.map(({ base, index: own }) => {
      const at = start;
      start += base.features;
      return own.map((i) => Math.floor(i / base.features) * features + at + (i % base.features));
    }),
  );
  l.setData(pick(formOf(out, [index.length], index), Int32Array.from(result.data), result.shape));
}

/** f(x) for one activation operand; other operands are small constants that keep their place. */
export function liftUnary(l: Lifter): void {
  const { op } = l;
  const { base, index } = l.plain(l.data(op.inputs[0] as ValueId));
  const rest = op.inputs.slice(1).map((v) => {
    if (v === null) return null;
    const value = l.scalar(v);
    if (value === undefined) l.refuse('has an operand that is not a constant scalar');
    return l.smallConstant(l.graph.names[v], l.graph.types[v].dtype, [], [value]);
  });
  const out = l.emitLike(base, op.kind, [base.value, ...rest], op.attrs);
  l.setData(formOf(out, l.probe.shapeOf(op.outputs[0] as ValueId), index));
}

/** Casts between floats change storage, not meaning: activations keep the dtype of the value that made them. */
export function liftCast(l: Lifter): void {
  const known = l.lifted.get(l.op.inputs[0] as ValueId);
  if (known === undefined) l.refuse('reads a value that was not lifted');
  const to = l.graph.types[l.op.outputs[0] as ValueId].dtype;
  if (!isFloat(to)) l.refuse(`turns activations into ${to}`);
  l.set(known);
}

export const BINARY: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min']);

/** Two operands, at least one of them an activation. */
export function liftBinary(l: Lifter): void {
  const { op } = l;
  const [a, b] = op.inputs as ValueId[];
  const kinds = [a, b].map((v) => l.lifted.get(v)?.kind);
  const scores = kinds.findIndex((k) => k === 'scores' || k === 'probs');
  if (scores >= 0) return binaryOnScores(l, scores);
  const shape = l.probe.shapeOf(op.outputs[0] as ValueId);
  for (const [x, y, swapped] of [
    [a, b, false],
    [b, a, true],
  ] as const) {
    if (!l.isControl(y) || (l.isControl(x) && !isTable(l, x))) continue;
    if (isTable(l, y) && !(op.kind === 'Mul' && !l.isControl(x))) continue;
    if (l.isConstant(y)) return withConstant(l, x, y, swapped, shape);
    if (op.kind === 'Mul') return timesControl(l, x, y, shape);
  }
  const [fa, fb] = [a, b].map((v) => {
    const form = l.data(v);
    return pick(form, broadcastIndex(form.shape, shape), shape);
  });
  if ((op.kind === 'Add' || op.kind === 'Sub') && (isTurned(fa) || isTurned(fb))) {
    const sum = added(fa, op.kind === 'Sub' ? scaled(fb, -1) : fb);
    if (sum) return l.setData(sum);
  }
  combine(l, l.plain(fa), l.plain(fb), shape);
}

const isTurned = (form: Form): boolean => form.terms[0].control.some((c) => c >= 0);

const isTable = (l: Lifter, v: ValueId): boolean => {
  const known = l.lifted.get(v);
  return known?.kind === 'control' && known.table;
};

function binaryOnScores(l: Lifter, scores: number): void {
  const other = l.op.inputs[1 - scores] as ValueId;
  const factor = l.scalar(other);
  if (factor !== undefined && l.op.kind === 'Mul') return scaleScores(l, scores, factor);
  if (factor !== undefined && l.op.kind === 'Div' && scores === 0) return scaleScores(l, scores, 1 / factor);
  if (l.op.kind === 'Add' && l.isControl(other)) return maskScores(l, scores, { kind: 'add', value: other, sign: 1 });
  if (l.op.kind === 'Sub' && l.isControl(other) && scores === 0)
    return maskScores(l, scores, { kind: 'add', value: other, sign: -1 });
  // A floor under masked scores (torch.max with the lowest float) changes none that counts.
  if (l.op.kind === 'Max' && factor !== undefined && factor <= FORBIDDEN)
    return l.set(l.lifted.get(l.op.inputs[scores] as ValueId) as Lifted);
  return l.refuse('does something to attention scores that is not scaling, masking or softmax');
}

/** Multiplication by host values: kept aside, because it is most often half of a rotation. */
function timesControl(l: Lifter, x: ValueId, y: ValueId, shape: readonly number[]): void {
  const form = l.data(x);
  const wide = pick(form, broadcastIndex(form.shape, shape), shape);
  const index = broadcastIndex(l.probe.shapeOf(y), shape);
  const turned = controlled(wide, y, index);
  if (turned) return l.setData(turned);
  const { base, index: own } = l.plain(wide);
  l.setData(controlled(formOf(base, shape, own), y, index) as Form);
}

/** An activation and a constant: a scalar, or one number a feature. */
function withConstant(l: Lifter, x: ValueId, c: ValueId, swapped: boolean, shape: readonly number[]): void {
  const { op } = l;
  const factor = l.scalar(c);
  const form = l.data(x);
  const wide = pick(form, broadcastIndex(form.shape, shape), shape);
  if (factor !== undefined && op.kind === 'Mul') return l.setData(scaled(wide, factor));
  if (factor !== undefined && op.kind === 'Div' && !swapped) return l.setData(scaled(wide, 1 / factor));
  const { base, index } = l.plain(wide);
  if (factor === undefined && op.kind === 'Add' && addBias(l, x, { base, index }, c, shape)) return;
  const operand =
    factor === undefined
      ? featureVector(l, c, { base, index }, shape)
      : l.smallConstant(l.graph.names[c], l.dtypeOf(base), [], [factor]);
  const inputs = swapped && !COMMUTES.has(op.kind) ? [operand, base.value] : [base.value, operand];
  l.setData(formOf(l.emitLike(base, op.kind, inputs, op.attrs), shape, index));
}

const COMMUTES: ReadonlySet<string> = new Set(['Add', 'Mul', 'Max', 'Min']);

/** Exporters write sums and products in either order: the residual stream comes first in a sum, what was gated in a product. */
function sorted(l: Lifter, a: ValueId, b: ValueId): ValueId[] {
  const { kind } = l.op;
  if (!COMMUTES.has(kind)) return [a, b];
  const [da, db] = [l.depthOf(a), l.depthOf(b)];
  return (kind === 'Mul' ? da < db : da > db) ? [b, a] : [a, b];
}

/** `linear` without bias, used nowhere else, plus one number a feature: the linear's bias. */
function addBias(l: Lifter, x: ValueId, { base, index }: Plain, c: ValueId, shape: readonly number[]): boolean {
  const producer = l.builder.producerOf(base.value);
  if (producer?.op.kind !== 'wafc.linear' || producer.op.inputs.length > 2) return false;
  if ((l.useCount.get(x) ?? 0) > 1 || l.builder.isUsed(base.value)) return false;
  const bias = featureVector(l, c, { base, index }, shape);
  if (l.builder.typeOf(bias).shape.length !== 1) return false;
  l.builder.replace(producer.index, { ...producer.op, inputs: [...producer.op.inputs, bias] });
  l.setData(formOf(base, shape, index));
  return true;
}

/** A constant operand as [F], or as [T, F] where tokens differ (learned positions of a fixed length). */
export function featureVector(l: Lifter, c: ValueId, { base, index }: Plain, shape: readonly number[]): ValueId {
  const constant = l.constant(c) as Constant;
  const from = broadcastIndex(constant.shape, shape);
  const { features, tokens } = base;
  const byFeature = new Int32Array(features).fill(-1);
  const byToken = new Int32Array(features * tokens).fill(-1);
  let tokensDiffer = false;
  // Exporters write one vector out for every token, and one table for every sequence.
  const at = (i: number): number => l.probe.tensor(c).data[i];
  const equal = (a: number, b: number): boolean => a === b || Object.is(at(a), at(b));
  for (let i = 0; i < index.length; i++) {
    const f = index[i] % features;
    const tf = index[i] % (features * tokens);
    if (byFeature[f] < 0) byFeature[f] = from[i];
    else if (!equal(byFeature[f], from[i])) tokensDiffer = true;
    if (byToken[tf] < 0) byToken[tf] = from[i];
    else if (!equal(byToken[tf], from[i]))
      l.refuse(`adds constant ${l.graph.names[c]} that differs between sequences of a batch`);
  }
  if (tokensDiffer && base.tokenDim !== tokens)
    l.refuse(`uses constant ${l.graph.names[c]} that differs between tokens, but the number of tokens is not fixed`);
  const wanted = tokensDiffer ? byToken : byFeature;
  const inOrder = wanted.length === elementCount(constant.shape) && wanted.every((w, i) => w === i);
  const vectorShape = tokensDiffer ? [tokens, features] : [features];
  const view = inOrder ? reshapeConstant(constant, vectorShape) : undefined;
  if (view) return l.builder.constant(l.graph.names[c], view);
  const out = allocate(constant.dtype, wanted.length);
  for (const [i, w] of wanted.entries()) out[i] = at(w);
  const name = l.graph.names[c];
  return l.builder.constant(
    name,
    denseConstant(constant.dtype, vectorShape, bytesSource(`${name}.spread`, pack(constant.dtype, out))),
  );
}

/** Two token values: features of the second are brought into the order of the first. */
function combine(l: Lifter, a: Plain, b: Plain, shape: readonly number[]): void {
  const { op } = l;
  const swapped = sizeOfBase(b.base) > sizeOfBase(a.base);
  const [wide, narrow] = swapped ? [b, a] : [a, b];
  const { features, tokens } = wide.base;
  const from = new Int32Array(features).fill(-1);
  for (let i = 0; i < wide.index.length; i++) {
    const w = wide.index[i];
    const n = narrow.index[i];
    const f = w % features;
    const g = n % narrow.base.features;
    if (from[f] < 0) from[f] = g;
    const tokenOf = Math.floor(w / features) % tokens;
    const sameToken = narrow.base.tokens === 1 || Math.floor(n / narrow.base.features) % narrow.base.tokens === tokenOf;
    if (from[f] !== g || !sameToken) l.refuse('combines activations of different tokens');
  }
  if (from.some((g) => g < 0)) l.refuse('combines activations that do not cover each other');
  const aligned = l.permuted(narrow.base, [...from]);
  const [first, second] = swapped ? [aligned.value, wide.base.value] : [wide.base.value, aligned.value];
  const inputs = sorted(l, first, second);
  l.setData(formOf(l.emitLike(wide.base, op.kind, inputs, op.attrs), shape, wide.index));
}
