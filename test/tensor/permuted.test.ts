/** Columns in another order: any region of the view is that region of the matrix with its columns moved. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesSource, denseConstant, sliceConstant, transposeConstant } from '../../src/ir/constant.ts';
import { pack } from '../../src/tensor/pack.ts';
import { permutedColumns } from '../../src/tensor/permuted.ts';
import { readConstant, readElements } from '../../src/tensor/read.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';

const size = fc.integer({ min: 1, max: 9 });

test('regions of permuted matrices, as they are stored, transposed and sliced', () => {
  fc.assert(
    fc.property(
      size,
      size,
      fc.constantFrom('f32', 'f16', 'i8'),
      fc.boolean(),
      fc.infiniteStream(fc.nat()),
      (rows, columns, dtype, transposed, random) => {
        const shape = transposed ? [columns, rows + 1] : [rows + 1, columns];
        const values = Array.from({ length: (rows + 1) * columns }, (_, i) => i);
        const whole = denseConstant(
          dtype,
          shape,
          bytesSource('w', pack(dtype, fromNumbers(dtype, shape, values).data)),
        );
        const upright = transposed ? transposeConstant(whole, [1, 0]) : whole;
        const matrix = sliceConstant(upright, 0, 1, rows + 1);
        const perm = Int32Array.from({ length: columns }, (_, i) => i);
        for (let i = columns - 1; i > 0; i--) {
          const j = random.next().value % (i + 1);
          [perm[i], perm[j]] = [perm[j], perm[i]];
        }
        const kept = perm.slice(0, 1 + (random.next().value % columns));
        const moved = permutedColumns(matrix, kept);
        expect(moved.shape).toEqual([rows, kept.length]);
        const plain = readConstant(matrix).data;
        const at = (r: number, c: number): number => plain[r * columns + perm[c]];
        const [r, c] = [random.next().value % rows, random.next().value % kept.length];
        const [h, w] = [rows - r, kept.length - c];
        const region = readElements(moved, [r, c], [h, w]).data;
        expect([...region]).toEqual(Array.from({ length: h * w }, (_, i) => at(r + Math.floor(i / w), c + (i % w))));
      },
    ),
  );
});

test('a vector, and bytes that are no whole elements', () => {
  const vector = denseConstant('f32', [4], bytesSource('b', pack('f32', Float32Array.of(1, 2, 3, 4))));
  const moved = permutedColumns(vector, Int32Array.of(2, 0, 3, 1));
  expect([...readConstant(moved).data]).toEqual([3, 1, 4, 2]);
  expect(moved.source.label).toBe('b (columns moved)');
  expect(() => moved.source.read(1, new Uint8Array(4))).toThrow('b: elements of 4 bytes are read whole');
});
