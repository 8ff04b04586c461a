/** What ops read and write: every tensor they name, and the same op on other tensors. */
import { expect, test } from 'vitest';
import type { ProgramOp } from '../../src/ir/program.ts';
import { onTensors, usesOf } from '../../src/map/uses.ts';
import { tensorsOf } from '../../src/verify/needs.ts';
import { samples } from '../plan/op-samples.ts';

const [A, S] = [100, 200];
/** A sample whose tensors all have numbers of their own, and these numbers. */
function numbered(op: ProgramOp): { op: ProgramOp; tensors: number[] } {
  const tensors: number[] = [];
  const fresh = (value: unknown): unknown => {
    if (value !== A && value !== S) return Array.isArray(value) ? value.map(fresh) : value;
    tensors.push(tensors.length);
    return tensors.length - 1;
  };
  const fields = Object.entries(op).map(([key, value]) => [key, fresh(value)]);
  return { op: Object.fromEntries(fields) as ProgramOp, tensors };
}

test.each(Object.values(samples(A, S)).map((op) => [op.op, op as ProgramOp] as const))(
  'uses of %s: all tensors it names, read or written',
  (_, sample) => {
    const { op, tensors } = numbered(sample);
    const { reads, writes } = usesOf(op);
    expect([...reads, ...writes].sort((a, b) => a - b)).toEqual(tensors);
    expect(new Set(tensors)).toEqual(tensorsOf(op));
    expect(writes.length).toBeGreaterThan(0);
    // What an op writes stands last in it; `append` writes its state.
    if (!('outputs' in op) && 'out' in op) expect(writes).toContain(op.out);
    const moved = onTensors(op, (t) => t + 1000);
    expect(new Set(tensorsOf(moved))).toEqual(new Set(tensors.map((t) => t + 1000)));
    expect(onTensors(moved, (t) => t - 1000)).toEqual(op);
  },
);
