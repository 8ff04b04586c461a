/** Region programs of random models and shapes: what every one of them must hold, whichever rules made it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import type { ModelConfig } from '../../models/configs.ts';
import { isCollective, type RegionProgram, type RegionShape } from '../../src/ir/program.ts';
import { usesOf } from '../../src/map/uses.ts';
import { layoutsByChoice } from '../../src/map/layout-search.ts';
import { REWRITES } from '../../src/map/rewrites.ts';
import { StageContext } from '../../src/map/stage-context.ts';
import { mapStage } from '../../src/map/stage-mapper.ts';
import { randomBelow, randomStream } from '../../src/util/rng.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { anyModel, buildModel, fitted, region, staged } from '../placed/support.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-map-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The programs of a model: the search's, or (`seed`) any that the rules allow. */
function programsOf(
  config: ModelConfig,
  shape: RegionShape,
  disable: readonly string[],
  seed?: number,
): RegionProgram[] {
  const path = join(folder, 'model.onnx');
  writeModel(path, buildModel(config));
  const { graph, roles, stages, mode, target } = staged(path, 1, 12);
  const size = { tokens: mode.kind === 'whole' ? mode.context : 1, context: mode.context };
  const own = fitted(shape, graph);
  const options = { disable };
  const random = randomStream(seed ?? 0, 'ways');
  return stages.templates.map(({ exemplar }) => {
    const stage = stages.stages[exemplar];
    if (seed === undefined) return mapStage(graph, roles, stage, own, size, target, options);
    const context = new StageContext({ graph, roles, stage, shape: own, size, target, options });
    return layoutsByChoice(context, (n) => randomBelow(random, n));
  });
}

/** Each property of one program; throws where it does not hold. */
const RULES: Readonly<Record<string, (p: RegionProgram) => void>> = {
  'an axis cuts a tensor once, and is not owed where it cuts': ({ tensors }) => {
    for (const { name, layout, shape } of tensors) {
      const used = [...layout.dims.flat(), ...(layout.partial?.axes ?? [])];
      expect([name, new Set(used).size, layout.dims.length]).toEqual([name, used.length, shape.length]);
    }
  },
  'every tensor is written once, before it is read': ({ tensors, ops, inputs }) => {
    const there = new Set(inputs.flatMap((i) => (i === null ? [] : [i.tensor])));
    for (const [t, { role }] of tensors.entries()) if (role === 'weight') there.add(t);
    for (const op of ops) {
      const { reads, writes } = usesOf(op);
      for (const t of reads) expect([tensors[t].name, there.has(t)]).toEqual([tensors[t].name, true]);
      for (const t of writes) {
        expect([tensors[t].name, there.has(t)]).toEqual([tensors[t].name, false]);
        there.add(t);
      }
    }
    // Nothing is made for nobody.
    expect([...tensors.keys()].filter((t) => !there.has(t))).toEqual([]);
  },
  'what is owed is paid before anyone but the payer looks': ({ tensors, ops }) => {
    for (const op of ops) {
      if (isCollective(op)) continue;
      // Sums commute with additions and scalings.
      const linear = (op.op === 'binary' && /add|sub/.test(op.fn)) || (op.op === 'unary' && /scale|neg/.test(op.fn));
      const owed = linear ? tensors[op.out].layout.partial : null;
      for (const t of usesOf(op).reads)
        expect([op.op, tensors[t].name, tensors[t].layout.partial]).toEqual([op.op, tensors[t].name, owed]);
    }
  },
  'a reduction pays what is owed over its axes': ({ tensors, ops }) => {
    for (const op of ops) {
      if (!isCollective(op) || op.combine === null) continue;
      for (const [i, t] of op.inputs.entries()) {
        const { partial, dims } = tensors[t].layout;
        const after = tensors[op.outputs[i]].layout;
        expect(partial?.combine).toBe(op.combine);
        expect(op.axes.filter((a) => !partial?.axes.includes(a))).toEqual([]);
        expect(after.partial?.axes ?? []).toEqual(partial?.axes.filter((a) => !op.axes.includes(a)));
        if (op.op === 'all_reduce') expect(after.dims).toEqual(dims);
      }
    }
  },
  'a gather undoes the innermost cuts': ({ tensors, ops }) => {
    for (const op of ops) {
      if (op.op !== 'all_gather') continue;
      for (const [i, t] of op.inputs.entries())
        expect(tensors[t].layout.dims[op.dim]).toEqual([...tensors[op.outputs[i]].layout.dims[op.dim], ...op.axes]);
    }
  },
  'operands of an elementwise op lie alike': ({ tensors, ops }) => {
    for (const op of ops) {
      if (op.op !== 'binary') continue;
      const out = tensors[op.out].layout.dims[1];
      for (const t of [op.a, op.b]) if (tensors[t].shape[1] > 1) expect(tensors[t].layout.dims[1]).toEqual(out);
    }
  },
  'a product sums over the cut of its input': ({ tensors, ops }) => {
    for (const op of ops) {
      if (op.op !== 'gemv') continue;
      const x = tensors[op.x];
      for (const [i, weight] of op.weights.entries()) {
        const [w, out] = [tensors[weight], tensors[op.outputs[i]]];
        expect(x.layout.dims[1]).toEqual(w.layout.dims[0]);
        expect(out.layout.dims[1]).toEqual(w.layout.dims[1]);
        const axes = w.layout.dims[0];
        expect(out.layout.partial).toEqual(axes.length === 0 ? null : { combine: 'sum', axes });
        expect([x.shape[1], out.shape[1]]).toEqual(w.shape);
      }
    }
  },
  'states lie on all cores that share a head, and only they are cyclic': ({ tensors, ops, caches }) => {
    // Scores of the positions that a core holds lie as these do.
    const scores = new Set(ops.flatMap((op) => (op.op === 'scores' ? [op.out] : op.op === 'mix' ? [op.scores] : [])));
    for (const [t, { role, layout }] of tensors.entries())
      expect(layout.cyclic === true).toBe(role === 'state' || scores.has(t));
    for (const { state, heads, width } of caches) expect(tensors[state].shape[1]).toBe(heads * width);
  },
};

const RUNS = Number(process.env.WAFC_RUNS ?? 40);
let seen = 0;

const disabled = fc.subarray([...REWRITES]);
const seed = fc.option(fc.nat({ max: 1e6 }), { nil: undefined });

test('rules of region programs', { timeout: 300_000 }, () => {
  fc.assert(
    fc.property(anyModel, region, disabled, seed, (config, shape, disable, ways) => {
      for (const program of programsOf(config, shape, disable, ways))
        for (const [rule, check] of Object.entries(RULES)) {
          seen += program.ops.length;
          try {
            check(program);
          } catch (error) {
            throw new Error(`${rule}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
          }
        }
    }),
    { numRuns: RUNS },
  );
  expect(seen).toBeGreaterThan(1000);
});

test('the same stage, the same program; no rewrite changes what enters or leaves', () => {
  fc.assert(
    fc.property(anyModel, region, disabled, (config, shape, disable) => {
      const [a, b] = [programsOf(config, shape, []), programsOf(config, shape, [])];
      expect(a).toEqual(b);
      const plain = programsOf(config, shape, disable);
      const outside = (p: RegionProgram): unknown => [
        p.inputs.length,
        p.outputs.map((t) => t !== null && p.tensors[t].shape),
        [...new Set(p.weightSources)].sort(),
      ];
      expect(plain.map(outside)).toEqual(a.map(outside));
    }),
    { numRuns: 10 },
  );
});
