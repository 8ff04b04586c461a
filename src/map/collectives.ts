/**
 * Collectives that are ready at the same time, over the same axes, with the same combination, travel as one
 * message: Q, K and V share a reduction, gate and up share one.
 */
import { type CollectiveOp, isCollective, type ProgramOp, type T } from '../ir/program.ts';

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
      return { reads: [op.x, op.weight], writes: [op.out] };
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
      return { reads: [op.x], writes: [op.state] };
    case 'attend':
      return { reads: [op.q, op.keys, op.values, ...given(op.mask)], writes: [op.stats, op.out] };
    case 'softmax_finish':
      return { reads: [op.o, op.stats], writes: [op.out] };
  }
}

const given = (t: T | null): T[] => (t === null ? [] : [t]);

const sharesScale = (op: ProgramOp, sums: T): boolean => op.op === 'rms_scale' && op.sums === sums;

/** Scalings by one sum as one operation. */
function joined(ops: readonly ProgramOp[]): ProgramOp {
  const [first] = ops;
  const of = (key: 'inputs' | 'outputs'): T[] => ops.flatMap((op) => (op.op === 'rms_scale' ? [...op[key]] : []));
  return first.op === 'rms_scale' ? { ...first, inputs: of('inputs'), outputs: of('outputs') } : first;
}

const messageKey = (op: CollectiveOp): string => `${op.op} ${op.axes} ${op.combine} ${op.dim}`;

/** Reorders and merges; the result depends on the dependencies and the given order only. */
export function fuseCollectives(ops: readonly ProgramOp[]): ProgramOp[] {
  const writers = new Map<T, number[]>();
  for (const [i, op] of ops.entries())
    for (const t of usesOf(op).writes) writers.set(t, [...(writers.get(t) ?? []), i]);
  const waits = ops.map(
    (op, i) =>
      new Set(
        usesOf(op)
          .reads.flatMap((t) => writers.get(t) ?? [])
          .filter((w) => w !== i),
      ),
  );
  const out: ProgramOp[] = [];
  const left = new Set(ops.keys());
  const done = (i: number): void => {
    left.delete(i);
    for (const wait of waits) wait.delete(i);
  };
  while (left.size > 0) {
    const ready = [...left].filter((i) => waits[i].size === 0);
    const compute = ready.find((i) => !isCollective(ops[i]));
    if (compute !== undefined) {
      const scale = ops[compute];
      const alike = scale.op === 'rms_scale' ? ready.filter((i) => sharesScale(ops[i], scale.sums)) : [compute];
      out.push(alike.length === 1 ? scale : joined(alike.map((i) => ops[i])));
      for (const i of alike) done(i);
      continue;
    }
    const first = ops[ready[0]];
    if (first === undefined || !isCollective(first)) throw new Error('region program has a cycle');
    const together = ready.flatMap((i) => {
      const op = ops[i];
      return isCollective(op) && messageKey(op) === messageKey(first) ? [{ i, op }] : [];
    });
    out.push({
      ...first,
      inputs: together.flatMap(({ op }) => op.inputs),
      outputs: together.flatMap(({ op }) => op.outputs),
    });
    for (const { i } of together) done(i);
  }
  return out;
}
