/** Which tensors an op of a region program reads and writes, and the same op on other tensors. */
import type { ProgramOp, T } from '../ir/program.ts';

/** Tensors an op reads and writes; a state that `append` writes is written. */
export function usesOf(op: ProgramOp): { reads: T[]; writes: T[] } {
  switch (op.op) {
    case 'all_reduce':
    case 'reduce_scatter':
    case 'all_gather':
      return { reads: [...op.inputs], writes: [...op.outputs] };
    case 'embed':
      return { reads: [op.table, op.index], writes: [op.out] };
    case 'gemv':
      return { reads: [op.x, ...op.weights], writes: [...op.outputs] };
    case 'unary':
    case 'shard':
    case 'slice':
    case 'select':
    case 'token':
      return { reads: [op.x], writes: [op.out] };
    case 'binary':
      return { reads: [op.a, op.b], writes: [op.out] };
    case 'concat':
      return { reads: [...op.parts], writes: [op.out] };
    case 'abs_max':
    case 'sum_squares':
    case 'moments':
      return { reads: [op.x], writes: [op.out] };
    case 'rms_apply':
      return { reads: [op.x, op.sums, ...given(op.gamma)], writes: [op.out] };
    case 'rms_scale':
      return { reads: [...op.inputs, op.sums], writes: [...op.outputs] };
    case 'layer_apply':
      return { reads: [op.x, op.moments, ...given(op.gamma), ...given(op.beta)], writes: [op.out] };
    case 'rope':
      return { reads: [op.x, op.cos, op.sin], writes: [op.out] };
    case 'append':
      return { reads: [op.x, ...given(op.scales)], writes: [op.state] };
    case 'attend':
      return {
        reads: [op.q, op.keys, op.values, ...given(op.mask), ...given(op.keyScales), ...given(op.valueScales)],
        writes: [op.stats, op.out],
      };
    case 'scores':
      return { reads: [op.q, op.keys, ...given(op.keyScales)], writes: [op.out] };
    case 'mix':
      return {
        reads: [op.scores, op.values, ...given(op.mask), ...given(op.valueScales)],
        writes: [op.stats, op.out],
      };
    case 'softmax_finish':
      return { reads: [op.o, op.stats], writes: [op.out] };
  }
}

const given = (t: T | null | undefined): T[] => (t === null || t === undefined ? [] : [t]);

/** The op with every tensor `t` replaced by `to(t)`. */
export function onTensors(op: ProgramOp, to: (t: T) => T): ProgramOp {
  const each = (list: readonly T[]): T[] => list.map(to);
  const maybe = (t: T | null): T | null => (t === null ? null : to(t));
  switch (op.op) {
    case 'all_reduce':
    case 'reduce_scatter':
    case 'all_gather':
      return { ...op, inputs: each(op.inputs), outputs: each(op.outputs) };
    case 'embed':
      return { ...op, table: to(op.table), index: to(op.index), out: to(op.out) };
    case 'gemv':
      return { ...op, x: to(op.x), weights: each(op.weights), outputs: each(op.outputs) };
    case 'unary':
    case 'shard':
    case 'slice':
    case 'select':
    case 'token':
    case 'abs_max':
    case 'sum_squares':
    case 'moments':
      return { ...op, x: to(op.x), out: to(op.out) };
    case 'binary':
      return { ...op, a: to(op.a), b: to(op.b), out: to(op.out) };
    case 'concat':
      return { ...op, parts: each(op.parts), out: to(op.out) };
    case 'rms_apply':
      return { ...op, x: to(op.x), sums: to(op.sums), gamma: maybe(op.gamma), out: to(op.out) };
    case 'rms_scale':
      return { ...op, inputs: each(op.inputs), sums: to(op.sums), outputs: each(op.outputs) };
    case 'layer_apply':
      return {
        ...op,
        x: to(op.x),
        moments: to(op.moments),
        gamma: maybe(op.gamma),
        beta: maybe(op.beta),
        out: to(op.out),
      };
    case 'rope':
      return { ...op, x: to(op.x), cos: to(op.cos), sin: to(op.sin), out: to(op.out) };
    case 'append':
      return { ...op, x: to(op.x), state: to(op.state), ...optional({ scales: op.scales }, to) };
    case 'attend':
      return {
        ...op,
        q: to(op.q),
        keys: to(op.keys),
        values: to(op.values),
        mask: maybe(op.mask),
        ...optional({ keyScales: op.keyScales, valueScales: op.valueScales }, to),
        stats: to(op.stats),
        out: to(op.out),
      };
    case 'scores':
      return {
        ...op,
        q: to(op.q),
        keys: to(op.keys),
        ...optional({ keyScales: op.keyScales }, to),
        out: to(op.out),
      };
    case 'mix':
      return {
        ...op,
        scores: to(op.scores),
        values: to(op.values),
        mask: maybe(op.mask),
        ...optional({ valueScales: op.valueScales }, to),
        stats: to(op.stats),
        out: to(op.out),
      };
    case 'softmax_finish':
      return { ...op, o: to(op.o), stats: to(op.stats), out: to(op.out) };
  }
}

/** Fields that are there, with other tensors. */
function optional<K extends string>(
  fields: Readonly<Record<K, T | undefined>>,
  to: (t: T) => T,
): Readonly<Partial<Record<K, T>>> {
  const found: Partial<Record<K, T>> = {};
  for (const key of Object.keys(fields) as K[]) {
    const t = fields[key];
    if (t !== undefined) found[key] = to(t);
  }
  return found;
}
