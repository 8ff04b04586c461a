/**
 * Coverage on plans that compile writes, and on single weights of any layout and type whose tiles are written here, core
 * by core, from the definition of weights.bin.
 */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { bytesSource, type Constant, denseConstant, transposeConstant } from '../../src/ir/constant.ts';
import type { Layout, MeshAxis, RegionShape } from '../../src/ir/program.ts';
import { bytesFor, DTYPE_BITS, type DType } from '../../src/ir/types.ts';
import type { Plan } from '../../src/plan/types.ts';
import { type Random, randomBelow, randomStream } from '../../src/util/rng.ts';
import { checkCoverage, type WeightOf } from '../../src/verify/coverage.ts';
import { type Compiled, compileTiny, constantsOf, temporaryFolder } from '../plan/tiny-plan.ts';

let compiled: Compiled;
let plan: Plan;
let bytes: Buffer;
let weightOf: WeightOf;
beforeAll(async () => {
  compiled = await compileTiny('tiny-llama');
  plan = compiled.json();
  bytes = readFileSync(join(compiled.folder, 'weights.bin'));
  weightOf = constantsOf(compiled, plan);
});

const folderOf = (weights: Uint8Array): string => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'weights.bin'), weights);
  return folder;
};
const found = (p: Plan, folder: string, of: WeightOf = weightOf): string[] =>
  checkCoverage(p, folder, of).map((d) => `${d.code} ${d.message}`);

describe('plans that compile writes', () => {
  test.each(['tiny-gpt2', 'tiny-bert'] as const)('%s is recovered', async (name) => {
    const one = await compileTiny(name);
    const own = one.json();
    const of = constantsOf(one, own);
    let asked = 0;
    expect(found(own, one.folder, (s, w) => (asked++, of(s, w)))).toEqual([]);
    expect(asked).toBe(own.stages.flatMap((s) => s.weights).length);
  });

  test('C3: one flipped bit is found in its tile, and nowhere else', () => {
    const [stage, blob] = [plan.stages[2], plan.stages[2].weights[1]];
    const broken = Buffer.from(bytes);
    broken[blob.offset + 1] ^= 0x10;
    const list = found(plan, folderOf(broken));
    expect(list).toHaveLength(1);
    const said = `verify/C3 weight ${blob.name} of stage ${stage.name}: 1 tile differs of `;
    expect(list[0]).toContain(said);
    expect(list[0]).toMatch(/the first is that of core \(0,0\) of the region, at row \d+, column \d+$/);
  });

  test('C3: two tiles that changed places', () => {
    // Two tiles that follow each other lie in one row of cores: as large as each other where the columns cut evenly.
    const stage = plan.stages[1];
    const { shape, tensors, weights } = plan.templates[stage.template].program;
    const size = { y: shape.height, xo: shape.groups, xi: shape.width / shape.groups };
    const along = (axes: readonly MeshAxis[]): number => axes.reduce((n, axis) => n * size[axis], 1);
    const at = stage.weights.findIndex(
      (w, i) =>
        w.shape.length === 2 &&
        tensors[weights[i]].layout.dims.every((axes) => axes.length > 0) &&
        tensors[weights[i]].layout.dims.every((axes, d) => w.shape[d] % along(axes) === 0),
    );
    expect([at >= 0, shape.width > 1]).toEqual([true, true]);
    const blob = stage.weights[at];
    const tile = tensors[weights[at]].layout.dims.reduce(
      (n, axes, d) => n * Math.floor(blob.shape[d] / along(axes)),
      DTYPE_BITS[blob.dtype] / 8,
    );
    const swapped = Buffer.from(bytes);
    bytes.copy(swapped, blob.offset, blob.offset + tile, blob.offset + 2 * tile);
    bytes.copy(swapped, blob.offset + tile, blob.offset, blob.offset + tile);
    const list = found(plan, folderOf(swapped));
    expect(list).toHaveLength(1);
    expect(list[0]).toContain(`verify/C3 weight ${blob.name} of stage ${stage.name}: 2 tiles differ`);
  });

  test('C3: a layout that the file does not have', () => {
    const [first, layer, ...rest] = plan.templates;
    const { program } = layer;
    const t = program.weights[1];
    const turned = program.tensors.map((x, i) =>
      i === t ? { ...x, layout: { ...x.layout, dims: x.layout.dims.toReversed() } } : x,
    );
    const templates = [first, { ...layer, program: { ...program, tensors: turned } }, ...rest];
    expect(found({ ...plan, templates }, compiled.folder)[0]).toContain('verify/C3');
  });

  test('C2: a layout that does not cut into tiles', () => {
    const [first, layer, ...rest] = plan.templates;
    const { program } = layer;
    const t = program.weights[1];
    const say = (change: Partial<Layout>): string => {
      const tensors = program.tensors.map((x, i) => (i === t ? { ...x, layout: { ...x.layout, ...change } } : x));
      return found(
        { ...plan, templates: [first, { ...layer, program: { ...program, tensors } }, ...rest] },
        compiled.folder,
      )[0];
    };
    expect(say({ cyclic: true })).toContain('C2');
    expect(say({ partial: { combine: 'sum', axes: [] } })).toContain('expected no owed combination, found one');
    expect(say({ dims: [['y'], ['y']] })).toContain('expected a core for every tile, found tiles on none');
  });

  test('C2: a file that ends too early, or is not there', () => {
    const short = folderOf(bytes);
    truncateSync(join(short, 'weights.bin'), bytes.length - 8);
    expect(found(plan, short)[0]).toMatch(
      /^verify\/C2 weight .* of stage s3: expected \d+ bytes at \d+ of weights.bin/,
    );
    expect(found(plan, temporaryFolder())[0]).toContain('verify/C2 expected the tiles');
  });

  test('C1: a weight that the model does not have, or has otherwise', () => {
    const blob = plan.stages[0].weights[0];
    const only = (of: (c: Constant | undefined) => Constant | undefined) =>
      found(plan, compiled.folder, (s, w) => (s === 0 ? of(weightOf(s, w)) : weightOf(s, w)));
    const what = `verify/C1 weight ${blob.name} of stage s0: `;
    expect(only(() => undefined)).toEqual([`${what}expected a constant of the model, found none`]);
    expect(only((c) => c && { ...c, stored: 'f16' })[0]).toBe(
      `${what}expected the elements of f32[64,32], found f16[64,32]`,
    );
    expect(only((c) => c && { ...c, shape: [32, 32] })[0]).toContain('found f32[32,32]');
  });

  test('a plan made without weights has nothing to recover', () => {
    expect(found({ ...plan, weights: { ...plan.weights, sha256: null } }, temporaryFolder())).toEqual([]);
  });
});

/** Element `index` of packed codes of `bits`, read and written bit by bit. */
function copyElement(from: Uint8Array, i: number, to: Uint8Array, j: number, bits: number): void {
  for (let b = 0; b < bits; b++) {
    const [p, q] = [i * bits + b, j * bits + b];
    to[q >> 3] |= ((from[p >> 3] >> (p & 7)) & 1) << (q & 7);
  }
}

/** Tiles by the definition: parts in order, those of the dim that y cuts in the outer loop (columns where they are), rows by default. */
function tilesOf(
  source: Uint8Array,
  rows: number,
  cols: number,
  dtype: DType,
  layout: Layout,
  shape: RegionShape,
): Uint8Array {
  const out = new Uint8Array(bytesFor(dtype, rows * cols));
  const size = { y: shape.height, xo: shape.groups, xi: shape.width / shape.groups };
  const cut = (ranges: [number, number][], axis: MeshAxis): [number, number][] =>
    ranges.flatMap(([from, to]) =>
      Array.from({ length: size[axis] }, (_, i): [number, number] => [
        from + Math.floor((i * (to - from)) / size[axis]),
        from + Math.floor(((i + 1) * (to - from)) / size[axis]),
      ]),
    );
  const down = layout.dims[0].reduce(cut, [[0, rows]]);
  const across = layout.dims[1].reduce(cut, [[0, cols]]);
  const pairs = layout.dims[1].includes('y')
    ? across.flatMap((c) => down.map((r) => [r, c]))
    : down.flatMap((r) => across.map((c) => [r, c]));
  let end = 0;
  for (const [r, c] of pairs)
    for (let i = r[0]; i < r[1]; i++)
      for (let j = c[0]; j < c[1]; j++) copyElement(source, i * cols + j, out, end++, DTYPE_BITS[dtype]);
  return out;
}

/** The compiled plan with one stage of one weight instead of all. */
function planOf(rows: number, cols: number, dtype: DType, layout: Layout, shape: RegionShape): Plan {
  const { program, name } = plan.templates[0];
  const size = bytesFor(dtype, rows * cols);
  const tensor = { name: 'w', role: 'weight' as const, dtype, shape: [rows, cols], layout };
  const blob = { name: 'w', dtype, shape: [rows, cols], offset: 0, bytes: size, sha256: null };
  return {
    ...plan,
    templates: [{ name, program: { ...program, shape, tensors: [tensor], weights: [0] } }],
    stages: [{ ...plan.stages[0], weights: [blob] }],
    weights: { bytes: size, sha256: '', zeros: null },
  };
}

const LAYOUTS: readonly (readonly [readonly MeshAxis[], readonly MeshAxis[]])[] = [
  [[], []],
  [['y'], ['xo', 'xi']],
  [['xo', 'xi'], ['y']],
  [['xo'], ['xi']],
  [['xi'], ['xo']],
  [['y', 'xi'], ['xo']],
  [['xi'], ['xo', 'y']],
  [[], ['xi', 'y']],
  [['y', 'xo', 'xi'], []],
];
const DTYPES: readonly DType[] = ['f32', 'f16', 'i8', 'f64', 'i4', 'u2', 'f6e2m3'];

describe('any weight', () => {
  const between = (random: Random, low: number, high: number): number => low + randomBelow(random, high - low + 1);
  test.each(DTYPES.flatMap((dtype) => LAYOUTS.map((dims) => [dtype, dims] as const)))('%s %j', (dtype, dims) => {
    const random = randomStream(3, `${dtype} ${JSON.stringify(dims)}`);
    for (let k = 0; k < 3; k++) {
      const groups = between(random, 1, 3);
      const shape: RegionShape = { width: groups * between(random, 1, 3), height: between(random, 1, 4), groups };
      const [rows, cols] = [between(random, 1, 13), between(random, 1, 13)];
      const layout: Layout = { dims, partial: null };
      const own = planOf(rows, cols, dtype, layout, shape);
      const source = Uint8Array.from({ length: own.weights.bytes }, () => randomBelow(random, 256));
      // Bits beyond the last element are zero, as packing leaves them.
      const used = (rows * cols * DTYPE_BITS[dtype]) % 8;
      if (used > 0) source[source.length - 1] &= (1 << used) - 1;
      const tiles = tilesOf(source, rows, cols, dtype, layout, shape);
      const constant = denseConstant(dtype, [rows, cols], bytesSource('w', source));
      const size = `${rows}x${cols} elements, ${shape.width}x${shape.height}/${groups}`;
      expect(
        found(own, folderOf(tiles), () => constant),
        `on ${size}`,
      ).toEqual([]);
      // Every element counts: any one bit that changes is found.
      const bit = randomBelow(random, rows * cols * DTYPE_BITS[dtype]);
      tiles[bit >> 3] ^= 1 << (bit & 7);
      expect(found(own, folderOf(tiles), () => constant)[0], `on ${size}`).toContain(
        'verify/C3 weight w of stage s0: 1 tile differs',
      );
    }
  });

  test('transposed, and of another rank', () => {
    const source = Uint8Array.from({ length: 7 * 6 * 2 }, (_, i) => i * 5);
    const layout: Layout = { dims: [['y'], ['xo', 'xi']], partial: null };
    const shape: RegionShape = { width: 2, height: 3, groups: 1 };
    const stored = denseConstant('f16', [7, 6], bytesSource('w', source));
    const turned = new Uint8Array(source.length);
    for (let i = 0; i < 6; i++) for (let j = 0; j < 7; j++) copyElement(source, j * 6 + i, turned, i * 7 + j, 16);
    const own = planOf(6, 7, 'f16', layout, shape);
    const folder = folderOf(tilesOf(turned, 6, 7, 'f16', layout, shape));
    expect(found(own, folder, () => transposeConstant(stored, [1, 0]))).toEqual([]);
    expect(found(own, folder, () => stored)[0]).toContain('verify/C3');
    // [2, 3, 7] over transposed bytes is no view of the file; it is copied.
    const deep: Constant = { ...stored, shape: [2, 3, 7], strides: [3, 1, 6] };
    expect(found(own, folder, () => deep)).toEqual([]);
    const flat: Constant = { ...denseConstant('f16', [42], bytesSource('w', turned)) };
    expect(found(own, folder, () => flat)).toEqual([]);
  });

  test('larger than a block: in bands, and in pieces of a band', () => {
    const [rows, cols] = [1500, 8192]; // 24 MiB of i16
    const words = Uint16Array.from({ length: rows * cols }, (_, i) => Math.imul(i, 40_503) >>> 3);
    const source = new Uint8Array(words.buffer);
    const constant = denseConstant('i16', [rows, cols], bytesSource('w', source));
    for (const [shape, dims] of [
      [{ width: 64, height: 1, groups: 1 }, [[], ['xo', 'xi']]],
      [{ width: 1, height: 50, groups: 1 }, [['y'], []]],
      [{ width: 1, height: 1, groups: 1 }, [[], []]],
    ] as const) {
      const layout: Layout = { dims, partial: null };
      const tiles = new Uint16Array(words.length);
      const band = cols / shape.width;
      if (shape.width === 1) tiles.set(words);
      else
        for (let i = 0; i < words.length; i++) {
          const [r, c] = [Math.floor(i / cols), i % cols];
          tiles[Math.floor(c / band) * rows * band + r * band + (c % band)] = words[i];
        }
      const own = planOf(rows, cols, 'i16', layout, shape);
      expect(found(own, folderOf(new Uint8Array(tiles.buffer)), () => constant)).toEqual([]);
      tiles[words.length - 1] ^= 1;
      const [said] = found(own, folderOf(new Uint8Array(tiles.buffer)), () => constant);
      expect(said).toContain(`at row ${rows - 1}, column ${cols - 1}`);
    }
  });
});
