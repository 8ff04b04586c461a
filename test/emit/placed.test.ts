/** Region programs as code: what is written down is the program of the plan. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { templateCode } from '../../src/emit/placed.ts';
import { type MeshAxis, printLayout, type ProgramOp, type RegionProgram } from '../../src/ir/program.ts';
import { parseLayout, region } from '../../src/runtime/placed.ts';
import { samples } from '../plan/op-samples.ts';

test('layouts are read back', () => {
  const axes = fc.constantFrom<MeshAxis[]>(
    [],
    ['y'],
    ['xo', 'xi'],
    ['xi'],
    ['xo'],
    ['y', 'xo', 'xi'],
    ['xi', 'y'],
    ['xo', 'xi', 'y'],
  );
  const layouts = fc.record({
    shape: fc.array(fc.nat(4096), { minLength: 1, maxLength: 3 }),
    dims: fc.array(axes, { minLength: 3, maxLength: 3 }),
    owed: fc.option(
      fc.tuple(fc.constantFrom('sum' as const, 'max' as const, 'softmax' as const, 'moments' as const), axes),
    ),
    cyclic: fc.boolean(),
    dtype: fc.constantFrom('f32' as const, 'bf16' as const, 'i4' as const),
  });
  fc.assert(
    fc.property(layouts, ({ shape, dims, owed, cyclic, dtype }) => {
      const partial = owed === null || owed[1].length === 0 ? null : { combine: owed[0], axes: owed[1] };
      const deals = cyclic && dims[0].length > 0 ? { cyclic: true as const } : {};
      const layout = { dims: dims.slice(0, shape.length), partial, ...deals };
      expect(parseLayout(printLayout({ dtype, shape, layout }))).toEqual({ dtype, shape, layout });
    }),
  );
});

test.each(['f32[1]', 'f32[1]{2@y}', 'f32[1]{0@z}', 'f33[1]{}', 'f32[S]{}', 'f32[1]{partial(mean)@y}'])(
  '%s is no layout',
  (text) => {
    expect(() => parseLayout(text)).toThrow('found');
  },
);

test('every op is written as it is', () => {
  const ops: readonly ProgramOp[] = Object.values(samples(3, 11));
  const most = 40;
  const program: RegionProgram = {
    shape: { width: 4, height: 2, groups: 2 },
    tokens: 1,
    context: 16,
    tensors: Array.from({ length: most }, (_, i) => ({
      // Names that are one identifier, or none.
      name: ['a/b', 'a.b', 'class', '', '7'][i % 5],
      role: 'temp' as const,
      dtype: 'f32' as const,
      shape: [1, 4],
      layout: { dims: [[], ['y' as const]], partial: null },
    })),
    ops,
    inputs: [{ tensor: 3, kind: 'row' }, null],
    outputs: [2, null],
    weights: [5, 6],
    weightSources: [0, 0],
    caches: [{ state: 7, heads: 2, width: 4, past: 0, present: -1 }],
    results: [null, 8],
  };
  const code = templateCode('made', { templates: [{ name: 'odd', program }], stages: [] }, 0);
  const made: unknown = new Function('region', `${code.join('\n')}\nreturn made;`)(region);
  expect(made).toEqual(program);
});
