/**
 * Host values read by what they are, not by how they are spelled: token positions, and the cosines and sines of
 * positions. Every export of a model computes them in its own way; lifted, they are wafc.positions and wafc.angles.
 * What the probes do not prove stays as the exporter wrote it.
 */
import { elementCount } from '../ir/constant.ts';
import type { ValueId } from '../ir/ids.ts';
import { isFloat } from '../ir/types.ts';
import type { Base } from './form.ts';
import type { Lifter } from './lifter.ts';
import { atFar, type Probe, type ProbeFeeds } from './probe.ts';

/** Rows per token of a host value at a probe: row t, column i. */
type Rows = (probe: Probe) => ReadonlyArray<ArrayLike<number>>;

/** A mask, positions and ids unlike the usual: what depends on one of them changes. */
const SHIFT = 3;
const VARIANTS: Readonly<Record<'mask' | 'ids', ProbeFeeds>> = {
  mask: { mask: (_, p) => (p === 0 ? 0 : 1), positions: (t) => t },
  ids: { ids: 1 },
};

const equalRows = (a: ReadonlyArray<ArrayLike<number>>, b: ReadonlyArray<ArrayLike<number>>, tolerance = 0): boolean =>
  a.length === b.length &&
  a.every(
    (row, t) => row.length === b[t].length && Array.from(row).every((x, i) => Math.abs(x - b[t][i]) <= tolerance),
  );

/** Where positions come from: the model's input, or counted on from the past; undefined when `rows` follows neither. */
function sourceOf(
  l: Lifter,
  rows: Rows,
  expected: (positions: readonly number[]) => ReadonlyArray<ArrayLike<number>>,
  tolerance: number,
): 'input' | 'count' | undefined {
  const { sequence, past } = l.probe.size;
  const count = Array.from({ length: sequence }, (_, t) => past + t);
  const usual = rows(l.probe);
  if (!equalRows(usual, expected(count), tolerance)) return undefined;
  const still = l.probe.variant({ positions: (t) => past + t });
  if (
    !equalRows(rows(l.probe.variant(VARIANTS.ids)), usual) ||
    !equalRows(rows(l.probe.variant({ ...VARIANTS.mask, positions: (t) => past + t })), rows(still))
  )
    return undefined;
  if (!l.graph.inputs.some((v) => l.roles.get(l.graph.names[v])?.kind === 'positions')) return 'count';
  const moved = rows(l.probe.variant({ positions: (t) => past + t + SHIFT }));
  if (equalRows(moved, usual)) return 'count';
  return equalRows(moved, expected(count.map((p) => p + SHIFT)), tolerance) ? 'input' : undefined;
}

/** Positions [B|1, S] of the lifted graph. */
function positionsValue(l: Lifter, source: 'input' | 'count'): ValueId | undefined {
  const role = (kind: string): ValueId | undefined =>
    l.graph.inputs.find((v) => l.roles.get(l.graph.names[v])?.kind === kind);
  const ids = role('tokens');
  if (ids === undefined) return undefined;
  const key = `positions ${source}`;
  const known = l.rowCache.get(key);
  if (known !== undefined) return known;
  const past = role('past');
  const given = source === 'input' ? (role('positions') as ValueId) : undefined;
  if (given !== undefined && l.graph.types[given].shape.length !== 2) return undefined;
  const type =
    given === undefined ? { dtype: 'i64' as const, shape: [1, l.graph.types[ids].shape[1]] } : l.graph.types[given];
  const inputs = [
    l.control(ids),
    past === undefined ? null : l.control(past),
    given === undefined ? null : l.control(given),
  ];
  while (inputs.at(-1) === null) inputs.pop();
  const [out] = l.builder.op({
    kind: 'wafc.positions',
    inputs,
    types: [type],
    names: ['positions'],
    origin: { node: 'positions', by: ['lift-tokens'] },
  });
  l.rowCache.set(key, out);
  return out;
}

/** The positions that an index is, or undefined when it is something else. */
export function asPositions(l: Lifter, index: ValueId): ValueId | undefined {
  const shape = l.probe.shapeOf(index);
  const batch = shape.length === 2 ? shape[0] : 1;
  const tokens = shape.at(-1) ?? 0;
  const rows: Rows = (probe) => {
    const { data } = probe.tensor(index);
    return Array.from({ length: tokens }, (_, t) => Array.from({ length: batch }, (__, b) => data[b * tokens + t]));
  };
  const source = sourceOf(l, rows, (at) => at.map((p) => new Array<number>(batch).fill(p)), 0);
  return source && positionsValue(l, source);
}

export interface AngleRows {
  readonly value: ValueId;
  /** Element of the value for column i at token 0, and where token t's row starts. */
  readonly offsets: readonly number[];
  readonly starts: ReadonlyMap<number, number>;
}

/** cos and sin as one wafc.angles; undefined when they are not cosines and sines of position * frequency. */
export function asAngles(l: Lifter, cos: AngleRows, sin: AngleRows, base: Base): [ValueId, ValueId] | undefined {
  const tokens = base.tokens;
  const rowsOf =
    ({ value, offsets, starts }: AngleRows): Rows =>
    (probe) => {
      const { data } = probe.tensor(value);
      const first = starts.get(0) ?? 0;
      return Array.from({ length: tokens }, (_, t) => offsets.map((o) => data[(starts.get(t) ?? first) + o - first]));
    };
  const [cosRows, sinRows] = [rowsOf(cos), rowsOf(sin)];
  const [c, s] = [cosRows(l.probe), sinRows(l.probe)];
  if (tokens < 2 || cos.starts.size < tokens || c.some((row) => Array.from(row).some((x) => !Number.isFinite(x))))
    return undefined;
  const half = cos.offsets.length;
  const scale = Math.hypot(c[0][0], s[0][0]);
  const steps = Array.from({ length: half }, (_, i) =>
    Math.atan2(s[1][i] * c[0][i] - c[1][i] * s[0][i], c[1][i] * c[0][i] + s[1][i] * s[0][i]),
  );
  const narrow = l.graph.types[cos.value].dtype !== 'f32';
  const frequencies = exactFrequencies(l, cos.value, steps, narrow);
  if (frequencies === undefined) return undefined;
  const tolerance = narrow ? 2e-3 : 4e-6;
  const unit = Math.abs(scale - 1) < (narrow ? tolerance : 1e-6) ? 1 : scale;
  if (narrow && unit !== 1) return undefined; // cannot be read off rounded cosines
  const turn =
    (f: (x: number) => number) =>
    (at: readonly number[]): number[][] =>
      at.map((p) => Array.from(frequencies, (w) => unit * f(Math.fround(p * w))));
  const source = sourceOf(l, cosRows, turn(Math.cos), tolerance);
  if (source === undefined || source !== sourceOf(l, sinRows, turn(Math.sin), tolerance)) return undefined;
  if (!holdsFar(l, cos.value, frequencies, unit, tolerance)) return undefined;
  return emitAngles(l, source, frequencies, unit);
}

/**
 * The frequencies, exact: a constant of the graph that has these values, else theta^(-i/R) for a whole number theta. What is
 * read off cosines at small positions would be too coarse at large ones, and off rounded cosines says nothing of theta.
 */
function exactFrequencies(
  l: Lifter,
  cos: ValueId,
  steps: readonly number[],
  narrow: boolean,
): Float32Array | undefined {
  const slack = narrow ? 4e-3 : 1e-7;
  const near = (values: ArrayLike<number>): boolean =>
    values.length === steps.length && steps.every((w, i) => Math.abs(values[i] - w) <= 1e-4 * Math.abs(w) + slack);
  for (const v of constantsAbove(l, cos)) {
    const constant = l.constant(v);
    if (
      constant === undefined ||
      !isFloat(constant.dtype) ||
      elementCount(constant.shape) < steps.length ||
      elementCount(constant.shape) > 4 * steps.length
    )
      continue;
    const values = Float32Array.from(l.probe.tensor(v).data).subarray(0, steps.length);
    if (near(values)) return values;
  }
  const last = steps.length - 1;
  if (narrow || last < 1 || !(steps[last] > 0)) return undefined;
  const theta = Math.round(steps[last] ** (-steps.length / last));
  const values = Float32Array.from(steps, (_, i) => 1 / theta ** (i / steps.length));
  return near(values) ? values : undefined;
}

/** Constants that a host value is computed from. */
function constantsAbove(l: Lifter, value: ValueId): ValueId[] {
  const found: ValueId[] = [];
  const seen = new Set<ValueId>();
  const stack = [value];
  for (let v = stack.pop(); v !== undefined; v = stack.pop()) {
    if (seen.has(v)) continue;
    seen.add(v);
    if (l.isConstant(v)) found.push(v);
    else for (const input of l.producers.get(v)?.inputs ?? []) if (input !== null) stack.push(input);
  }
  return found.sort((a, b) => a - b);
}

/** Positions far from the probe, at which f32 angles are still exact enough to tell frequencies apart. */
const FAR = [200, 100, 50, 25];

/** Whether the cosines hold at positions far from the probe, as far as the model has them. */
function holdsFar(l: Lifter, cos: ValueId, frequencies: Float32Array, unit: number, tolerance: number): boolean {
  const near = l.probe.tensor(cos).shape;
  const { sequence } = l.probe.size;
  const holds = atFar(l.probe, FAR, (probe) => {
    const { data, shape } = probe.tensor(cos);
    const tokens = probe.size.sequence;
    if (shape.some((n, d) => n !== near[d] && !(near[d] === sequence && n === tokens))) return undefined;
    const position = probe.size.past + tokens - 1;
    const known = new Set(Array.from(data, (x) => Math.round(x / (8 * tolerance))));
    return frequencies.every((w) => {
      const bin = Math.round((unit * Math.cos(Math.fround(position * w))) / (8 * tolerance));
      return known.has(bin) || known.has(bin - 1) || known.has(bin + 1);
    });
  });
  return holds ?? true;
}

function emitAngles(
  l: Lifter,
  source: 'input' | 'count',
  frequencies: Float32Array,
  scale: number,
): [ValueId, ValueId] | undefined {
  const positions = positionsValue(l, source);
  if (positions === undefined) return undefined;
  const key = `angles ${positions} ${scale} ${frequencies}`;
  const [knownCos, knownSin] = [l.rowCache.get(`${key} cos`), l.rowCache.get(`${key} sin`)];
  if (knownCos !== undefined && knownSin !== undefined) return [knownCos, knownSin];
  const shape = [...l.builder.typeOf(positions).shape, frequencies.length];
  const [cos, sin] = l.builder.op({
    kind: 'wafc.angles',
    inputs: [positions, l.smallConstant('frequencies', 'f32', [frequencies.length], frequencies)],
    attrs: { scale },
    types: [
      { dtype: 'f32', shape },
      { dtype: 'f32', shape },
    ],
    names: ['cos', 'sin'],
    origin: { node: 'angles', by: ['lift-tokens'] },
  });
  l.rowCache.set(`${key} cos`, cos);
  l.rowCache.set(`${key} sin`, sin);
  return [cos, sin];
}
