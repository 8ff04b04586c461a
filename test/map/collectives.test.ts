/** Fusing collectives: the same operations in an order that keeps every dependency, in fewer messages. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CollectiveOp, isCollective, type MeshAxis, type ProgramOp } from '../../src/ir/program.ts';
import { fuseCollectives, usesOf } from '../../src/map/collectives.ts';
import { tensorsOf } from '../../src/verify/needs.ts';
import { samples } from '../plan/op-samples.ts';

const node = 'n';
type Seed = { readonly kind: number; readonly reads: readonly number[]; readonly axis: number };

/** Tensor t is written by op t - INPUTS; states are the last few. */
const INPUTS = 3;
const STATE = 1000;

function program(seeds: readonly Seed[]): ProgramOp[] {
  let next = INPUTS;
  const appended = new Set<number>();
  return seeds.map(({ kind, reads, axis }): ProgramOp => {
    const read = (i: number): number => reads[i % reads.length] % next;
    const [x, other] = [read(0), read(1)];
    const axes: readonly MeshAxis[] = axis === 0 ? ['y'] : axis === 1 ? ['xo', 'xi'] : ['xi'];
    const collective = (op: CollectiveOp['op'], combine: CollectiveOp['combine']): ProgramOp => ({
      op,
      axes,
      combine,
      dim: op === 'all_reduce' ? -1 : 1,
      inputs: [x],
      outputs: [next++],
      node,
    });
    switch (kind) {
      case 0:
        return collective('all_reduce', 'sum');
      case 1:
        return collective('all_reduce', 'moments');
      case 2:
        return collective('all_gather', null);
      case 3:
        return collective('reduce_scatter', 'sum');
      case 4:
        return { op: 'binary', fn: 'add', a: x, b: other, out: next++, node };
      case 5:
        return { op: 'rms_scale', inputs: [x], sums: other, features: 8, epsilon: 1e-5, outputs: [next++], node };
      case 6: {
        const state = STATE + appended.size;
        appended.add(state);
        return { op: 'append', x, state, node };
      }
      case 7: {
        const keys = appended.size === 0 ? x : STATE + (other % appended.size);
        const [stats, out] = [next++, next++];
        return {
          op: 'attend',
          q: x,
          keys,
          values: keys,
          mask: null,
          heads: 1,
          kvHeads: 1,
          scale: 1,
          causal: true,
          window: 0,
          softcap: 0,
          stats,
          out,
          node,
        };
      }
      default:
        return { op: 'unary', fn: 'relu', x, value: 0, out: next++, node };
    }
  });
}

const programs = fc
  .array(
    fc.record({
      kind: fc.nat({ max: 8 }),
      reads: fc.array(fc.nat({ max: 1e6 }), { minLength: 2, maxLength: 2 }),
      axis: fc.nat({ max: 2 }),
    }),
    { maxLength: 40 },
  )
  .map(program);

/** One line for each tensor that is moved: collectives by tensor, everything else whole. */
function effects(ops: readonly ProgramOp[]): string[] {
  return ops
    .flatMap((op) => {
      if (isCollective(op))
        return op.inputs.map((t, i) => `${op.op} ${op.axes} ${op.combine} ${op.dim} ${t} ${op.outputs[i]}`);
      if (op.op === 'rms_scale')
        return op.inputs.map((t, i) => `rms_scale ${op.sums} ${op.epsilon} ${t} ${op.outputs[i]}`);
      return [JSON.stringify(op)];
    })
    .sort();
}

describe('fuseCollectives', () => {
  test('the same effects, each once', () => {
    fc.assert(
      fc.property(programs, (ops) => {
        expect(effects(fuseCollectives(ops))).toEqual(effects(ops));
      }),
    );
  });

  test('whatever is read was written before, if ever', () => {
    fc.assert(
      fc.property(programs, (ops) => {
        const writers = new Set(ops.flatMap((op) => usesOf(op).writes));
        const written = new Set<number>();
        for (const op of fuseCollectives(ops)) {
          const { reads, writes } = usesOf(op);
          for (const t of reads) expect(!writers.has(t) || written.has(t)).toBe(true);
          for (const t of writes) written.add(t);
        }
      }),
    );
  });

  test('no message holds a tensor and what is computed from it', () => {
    fc.assert(
      fc.property(programs, (ops) => {
        for (const op of fuseCollectives(ops)) {
          if (!isCollective(op)) continue;
          expect(op.inputs.filter((t) => op.outputs.includes(t))).toEqual([]);
          expect(op.inputs).toHaveLength(op.outputs.length);
        }
      }),
    );
  });

  test('messages that are ready together and alike are one; a second time changes nothing', () => {
    fc.assert(
      fc.property(programs, (ops) => {
        const once = fuseCollectives(ops);
        const count = (list: readonly ProgramOp[]): number => list.filter(isCollective).length;
        expect(count(once)).toBeLessThanOrEqual(count(ops));
        expect(count(fuseCollectives(once))).toBe(count(once));
        expect(fuseCollectives(ops)).toEqual(once);
      }),
    );
    const three = program([0, 0, 0, 1, 8].map((kind) => ({ kind, reads: [kind === 8 ? 3 : kind, 0], axis: 0 })));
    const fused = fuseCollectives(three);
    expect(fused.map((op) => op.op)).toEqual(['all_reduce', 'unary', 'all_reduce']);
    expect(fused[0]).toMatchObject({ inputs: [0, 0, 0], outputs: [3, 4, 5] });
  });

  test('other axes, other combinations, other messages', () => {
    const seeds = [
      { kind: 0, reads: [0, 0], axis: 0 },
      { kind: 0, reads: [1, 0], axis: 1 },
      { kind: 1, reads: [2, 0], axis: 0 },
      { kind: 2, reads: [2, 0], axis: 0 },
    ];
    expect(fuseCollectives(program(seeds))).toHaveLength(4);
  });

  test('a cycle is a fault of the mapper', () => {
    const op = (x: number, out: number): ProgramOp => ({ op: 'unary', fn: 'relu', x, value: 0, out, node });
    expect(() => fuseCollectives([op(1, 2), op(2, 1)])).toThrow('cycle');
  });
});

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
  },
);
