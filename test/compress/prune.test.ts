/** Selection against sorting, SparseGPT against its definition, ratios against the formula. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyMask } from '../../src/compress/prune/apply.ts';
import { countOutliers, magnitudeScores, owlSparsities, wandaScores } from '../../src/compress/prune/scores.ts';
import { nestedBounds, selectMask, type Structure } from '../../src/compress/prune/select.ts';
import { sparseGpt } from '../../src/compress/prune/sparsegpt.ts';
import { randomStream } from '../../src/util/rng.ts';
import { prepareMoments } from '../../src/compress/compensate.ts';
import { gptq } from '../../src/compress/gptq.ts';
import { dequantizeMatrix } from '../../src/compress/matrix.ts';
import { inputMoments, normalMatrix, outputError } from './support.ts';

/** The sets of a structure as lists of indices, and how many of each go. */
function setsOf(rows: number, cols: number, s: Structure): { set: number[]; drop: number }[] {
  const box = (r0: number, r1: number, c0: number, c1: number): number[] =>
    Array.from({ length: (r1 - r0) * (c1 - c0) }, (_, i) => {
      const width = c1 - c0;
      return (r0 + Math.floor(i / width)) * cols + c0 + (i % width);
    });
  if (s.kind === 'layer') return [{ set: box(0, rows, 0, cols), drop: Math.floor(rows * cols * s.sparsity) }];
  const all: { set: number[]; drop: number }[] = [];
  if (s.kind === 'row')
    for (let r = 0; r < rows; r++) all.push({ set: box(r, r + 1, 0, cols), drop: Math.floor(cols * s.sparsity) });
  if (s.kind === 'n:m')
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < cols; c += s.of) {
        const set = box(r, r + 1, c, Math.min(c + s.of, cols));
        all.push({ set, drop: Math.floor((set.length * (s.of - s.keep)) / s.of) });
      }
  if (s.kind === 'tile') {
    const tiles = s.rows.slice(1).flatMap((r1, i) => s.cols.slice(1).map((c1, j) => box(s.rows[i], r1, s.cols[j], c1)));
    const wanted = rows * cols - Math.floor(rows * cols * s.sparsity);
    // The level to which all tiles are filled: by trying.
    const filled = (level: number): number => tiles.reduce((n, t) => n + Math.min(t.length, level), 0);
    let [low, high] = [0, rows * cols];
    for (let i = 0; i < 200; i++) {
      const middle = (low + high) / 2;
      if (filled(middle) < wanted) low = middle;
      else high = middle;
    }
    let before = 0;
    for (const set of tiles) {
      const after = before + set.length;
      const drop =
        high >= 8 - 1e-9
          ? Math.max(0, set.length - Math.round(Number(high.toFixed(9))))
          : Math.floor(after * s.sparsity) - Math.floor(before * s.sparsity);
      all.push({ set, drop });
      before = after;
    }
  }
  return all;
}

const sparsity = fc.double({ min: 0, max: 1, noNaN: true });
const anyStructure: fc.Arbitrary<Structure> = fc.oneof(
  fc.record({ kind: fc.constant('layer' as const), sparsity }),
  fc.record({ kind: fc.constant('row' as const), sparsity }),
  fc.record({
    kind: fc.constant('tile' as const),
    sparsity,
    // Cut when the extents are known.
    rows: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
    cols: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
  }),
  fc.constantFrom<Structure>({ kind: 'n:m', keep: 2, of: 4 }, { kind: 'n:m', keep: 1, of: 4 }),
);

test('the lowest of every set go, first ones first among equals', () => {
  const score = fc.oneof(
    fc.constantFrom(0, 1, 1e-40, 3.4e38),
    fc.float({ min: 0, noNaN: true, noDefaultInfinity: true }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      anyStructure,
      fc.infiniteStream(score),
      (rows, cols, any, stream) => {
        const s =
          any.kind === 'tile'
            ? { ...any, rows: nestedBounds(rows, any.rows), cols: nestedBounds(cols, any.cols) }
            : any;
        const scores = Float32Array.from({ length: rows * cols }, () => stream.next().value);
        const expected = new Uint8Array(rows * cols).fill(1);
        for (const { set, drop } of setsOf(rows, cols, s))
          for (const i of [...set].sort((a, b) => scores[a] - scores[b] || a - b).slice(0, drop)) expected[i] = 0;
        expect([...selectMask(scores, { rows, cols }, s)]).toEqual([...expected]);
      },
    ),
  );
});

test('scores that are no importance are refused', () => {
  for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => selectMask(Float32Array.of(bad), { rows: 1, cols: 1 }, { kind: 'row', sparsity: 1 })).toThrow(
      RangeError,
    );
  expect(() => selectMask(new Float32Array(4), { rows: 2, cols: 2 }, { kind: 'row', sparsity: 1.5 })).toThrow('1.5');
  expect(() => selectMask(new Float32Array(3), { rows: 2, cols: 2 }, { kind: 'row', sparsity: 0 })).toThrow('[2, 2]');
});

test('tiles keep equally many, however the weights are spread and the tiles are cut', () => {
  const random = randomStream(3, 'tiles');
  const extents = { rows: 60, cols: 44 };
  const weights = Float32Array.from({ length: 60 * 44 }, (_, i) => (random() - 0.5) * (i < 900 ? 10 : 1));
  const tiles: Structure = { kind: 'tile', sparsity: 0.5, rows: nestedBounds(60, [7]), cols: nestedBounds(44, [2, 3]) };
  const mask = selectMask(magnitudeScores(weights), extents, tiles);
  const kept = setsOf(60, 44, tiles).map(({ set }) => set.filter((i) => mask[i] === 1).length);
  expect(new Set(kept)).toEqual(new Set([Math.round((60 * 22) / 42)]));
});

test('woven tiles keep equally many of what stands side by side', () => {
  const weights = normalMatrix(6, 8).values;
  const sets: Structure = { kind: 'tile', sparsity: 0.5, rows: [0, 6], cols: [0, 4, 8] };
  // Two lanes of four: places 0, 1, 2, 3 are columns 0, 4, 1, 5.
  const colOrder = Int32Array.of(0, 4, 1, 5, 2, 6, 3, 7);
  const woven = { ...sets, colOrder, rowOrder: Int32Array.of(0, 1, 2, 3, 4, 5) };
  const mask = selectMask(magnitudeScores(weights), { rows: 6, cols: 8 }, woven);
  const kept = (columns: readonly number[]): number => mask.filter((m, i) => m === 1 && columns.includes(i % 8)).length;
  expect([kept([0, 4, 1, 5]), kept([2, 6, 3, 7])]).toEqual([12, 12]);
});

test('Wanda weighs a weight by its input', () => {
  const scores = wandaScores(Float32Array.of(1, -2, 3, 4), { rows: 2, cols: 2 }, [10, 1]);
  expect([...scores]).toEqual([10, 2, 30, 4]);
});

test('OWL: layers with outliers keep more, the mean stays', () => {
  const counts = [Float32Array.of(1, 1, 1, 21), Float32Array.of(1, 1, 1, 1)].map((s) => countOutliers([s], 3));
  expect(counts).toEqual([
    { above: 1, of: 4 },
    { above: 0, of: 4 },
  ]);
  const [more, less] = owlSparsities(counts, 0.5, 0.08);
  expect(more).toBeCloseTo(0.42, 12);
  expect(less).toBeCloseTo(0.58, 12);
  expect(owlSparsities([counts[0], counts[0]], 0.5, 0.08)).toEqual([0.5, 0.5]);
});

test.each(['symmetric', 'signed', 'asymmetric'] as const)(
  'GPTQ on a %s grid leaves what was pruned at zero',
  (grid) => {
    const matrix = normalMatrix(6, 24);
    const mask = selectMask(magnitudeScores(matrix.values), { rows: 6, cols: 24 }, { kind: 'row', sparsity: 0.5 });
    const pruned = { ...matrix, values: applyMask(matrix.values.slice(), mask) };
    const format = { kind: 'integer', bits: 4, grid, group: 8 } as const;
    const { quantized } = gptq(pruned, format, prepareMoments(inputMoments(24, 96), 24));
    const found = dequantizeMatrix(quantized);
    for (const [i, stays] of mask.entries()) if (stays === 0) expect(found[i] === 0).toBe(true);
  },
);

describe('SparseGPT', () => {
  const [rows, columns] = [24, 48];
  const matrix = normalMatrix(rows, columns);
  const moments = inputMoments(columns, 192);
  const loss = (values: Float32Array): number => outputError(matrix, values, moments);
  const run = (
    structure: Structure,
    block: number,
    quantize?: (column: number, v: Float64Array) => void,
  ): Float32Array => {
    const prepared = prepareMoments(moments, columns, { actOrder: false, damp: 0, block });
    return sparseGpt(matrix, prepared, quantize === undefined ? { structure } : { structure, quantize });
  };
  const masked = (values: Float32Array): Float32Array => matrix.values.map((w, i) => (values[i] === 0 ? 0 : w));
  const tile: Structure = {
    kind: 'tile',
    sparsity: 0.5,
    rows: nestedBounds(rows, [2]),
    cols: nestedBounds(columns, [2]),
  };

  test.each<Structure>([
    tile,
    { kind: 'layer', sparsity: 0.5 },
    { kind: 'row', sparsity: 0.5 },
    { kind: 'n:m', keep: 2, of: 4 },
  ])('$kind: loses less than dropping the same weights', (structure) => {
    const found = run(structure, 8);
    expect(found.filter((w) => w === 0).length).toBe((rows * columns) / 2);
    expect(loss(found)).toBeLessThan(loss(masked(found)));
  });

  test('n:m keeps n of every m', () => {
    const found = run({ kind: 'n:m', keep: 1, of: 4 }, 8);
    for (let at = 0; at < found.length; at += 4) expect(found.slice(at, at + 4).filter((w) => w !== 0)).toHaveLength(1);
    const prepared = prepareMoments(moments, columns, { actOrder: true, damp: 0.01, block: 8 });
    expect(() => sparseGpt(matrix, prepared, { structure: { kind: 'n:m', keep: 2, of: 4 } })).toThrow(RangeError);
  });

  test('blocks of columns change nothing but roundings when the mask is given', () => {
    const whole = run(tile, columns);
    for (const block of [1, 5, 8]) for (const [i, w] of run(tile, block).entries()) expect(w).toBeCloseTo(whole[i], 4);
  });

  test('without correlation nothing is made up for', () => {
    const identity = new Float64Array(columns * columns);
    for (let i = 0; i < columns; i++) identity[i * columns + i] = 1;
    const prepared = prepareMoments(identity, columns, { actOrder: false, damp: 0, block: columns });
    const structure: Structure = { kind: 'layer', sparsity: 0.5 };
    const mask = selectMask(magnitudeScores(matrix.values), { rows, cols: columns }, structure);
    expect([...sparseGpt(matrix, prepared, { structure })]).toEqual([...applyMask(matrix.values.slice(), mask)]);
  });

  test('rounded in the same sweep: on the grid, and better than rounding afterwards', () => {
    const step = 1 / 128;
    const onGrid = (values: Float64Array | Float32Array): void => {
      for (let i = 0; i < values.length; i++) values[i] = Math.round(values[i] / step) * step;
    };
    const found = run(tile, 8, (_, values) => onGrid(values));
    for (const w of found) expect(w / step).toBe(Math.round(w / step));
    const after = run(tile, 8);
    onGrid(after);
    expect(loss(found)).toBeLessThan(loss(after));
  });
});
