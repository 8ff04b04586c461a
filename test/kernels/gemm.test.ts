/** The SIMD kernels against the plain product of src/ops: the same sums, in f32 instead of double. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { KernelMemory } from '../../src/kernels/memory.ts';
import { fitsCodes, packCodes, packedBytes, packPairs, packPanels } from '../../src/kernels/pack.ts';
import { dense, gemm, type Matrix, transposed } from '../../src/ops/support/gemm.ts';
import { BYTES_FILE, bytesModule } from './build-wasm.ts';

const open = (): KernelMemory => {
  const memory = KernelMemory.open();
  if (memory === undefined) throw new Error('no SIMD in this engine');
  return memory;
};
const memory = open();
const take = (bytes: number): number => {
  const block = memory.take(bytes);
  if (block === undefined) throw new Error('memory is full');
  return block.at;
};
const resident = (values: ArrayLike<number>): number => {
  const at = take(4 * values.length);
  memory.f32(at, values.length).set(values);
  return at;
};

/** Deterministic numbers with a few large and small ones among them. */
const noise = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => {
    const x = Math.sin(i * 12.9898 + seed * 78.233) * 43758.5453;
    return (x - Math.floor(x) - 0.5) * (i % 17 === 0 ? 64 : 1);
  });

/** The plain product in double, and how far f32 sums of k terms may be from it: k unit roundoffs of the absolute sum. */
function plain(m: number, n: number, k: number, a: Matrix, b: Matrix): { exact: Float64Array; slack: Float64Array } {
  const exact = new Float64Array(m * n);
  const slack = new Float64Array(m * n);
  const size = ({ data, ...rest }: Matrix): Matrix => ({ ...rest, data: Float64Array.from(data, Math.abs) });
  gemm(m, n, k, a, b, dense(exact, n));
  gemm(m, n, k, size(a), size(b), dense(slack, n));
  return { exact, slack: slack.map((s) => s * (k + 1) * 2 ** -24) };
}

function expectClose(found: ArrayLike<number>, { exact, slack }: ReturnType<typeof plain>): void {
  for (let i = 0; i < exact.length; i++) {
    if (Number.isFinite(exact[i])) expect(Math.abs(found[i] - exact[i])).toBeLessThanOrEqual(slack[i]);
    else expect(found[i]).toBe(Math.fround(exact[i]));
  }
}

const extent = (max: number) => fc.integer({ min: 1, max });

test('the committed modules are what the source texts assemble to', async () => {
  expect(readFileSync(BYTES_FILE, 'utf8')).toBe(await bytesModule());
});

describe('f32', () => {
  test('packed or in place, any size, with and without a bias', () => {
    fc.assert(
      fc.property(
        extent(11),
        extent(75),
        extent(37),
        fc.boolean(),
        fc.integer({ max: 99, min: 0 }),
        (m, n, k, lies, s) => {
          const [a, b, bias] = [noise(m * k, s), noise(k * n, s + 1), noise(n, s + 2)];
          const c = take(4 * m * n);
          let at = resident(b);
          if (!lies) {
            at = take(packedBytes(k, n));
            packPanels(memory.f32(at, packedBytes(k, n) / 4), dense(b, n), k, n);
          }
          const [ldb, step] = lies ? [4 * n, 32] : [32, 32 * k];
          const expected = plain(m, n, k, dense(a, k), dense(b, n));
          memory.kernels.gemm(resident(a), 4 * k, at, ldb, step, c, 4 * n, m, n, k, 0);
          const found = memory.f32(c, m * n);
          expectClose(found, expected);
          memory.kernels.gemm(resident(a), 4 * k, at, ldb, step, c, 4 * n, m, n, k, resident(bias));
          for (let i = 0; i < m * n; i++) {
            const slack = expected.slack[i] + Math.abs(bias[i % n]) * (k + 1) * 2 ** -23;
            expect(Math.abs(found[i] - expected.exact[i] - bias[i % n])).toBeLessThanOrEqual(slack);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('lines along k: dot products, or turned into panels', () => {
    fc.assert(
      fc.property(extent(6), extent(20), extent(30), fc.integer({ max: 99, min: 0 }), (m, n, k, s) => {
        const [a, b] = [noise(m * k, s), noise(n * k, s + 1)];
        const expected = plain(m, n, k, dense(a, k), transposed(dense(b, k)));
        const c = take(4 * m * n);
        memory.kernels.gemm_nt(resident(a), 4 * k, resident(b), 4 * k, c, 4 * n, m, n, k);
        expectClose(memory.f32(c, m * n), expected);
        const panels = take(packedBytes(k, n));
        memory.kernels.pack_nt(resident(b), 4 * k, n, k, panels);
        const packed = new Float32Array(packedBytes(k, n) / 4);
        packPanels(packed, transposed(dense(b, k)), k, n);
        expect(memory.f32(panels, packed.length)).toEqual(packed);
      }),
      { numRuns: 30 },
    );
  });

  test('a row gives the same bits alone, in a tile of four, and in any cut of the columns', () => {
    const [m, n, k] = [9, 77, 33];
    const [a, b] = [resident(noise(m * k, 1)), resident(noise(k * n, 2))];
    const [whole, parts] = [take(4 * m * n), take(4 * m * n)];
    memory.kernels.gemm(a, 4 * k, b, 4 * n, 32, whole, 4 * n, m, n, k, 0);
    for (let i = 0; i < m; i++) {
      for (const [j, width] of [
        [0, 40],
        [40, 37],
      ])
        memory.kernels.gemm(a + 4 * i * k, 4 * k, b + 4 * j, 4 * n, 32, parts + 4 * (i * n + j), 4 * n, 1, width, k, 0);
    }
    expect(memory.f32(parts, m * n)).toEqual(memory.f32(whole, m * n));
  });

  test('NaN and infinities stay in their row and column', () => {
    const [m, n, k] = [5, 9, 6];
    const [a, b] = [noise(m * k, 3), noise(k * n, 4)];
    a[1 * k + 2] = Number.NaN;
    a[2 * k + 1] = Number.POSITIVE_INFINITY;
    b[3 * n + 8] = Number.NEGATIVE_INFINITY;
    const c = take(4 * m * n);
    memory.kernels.gemm(resident(a), 4 * k, resident(b), 4 * n, 32, c, 4 * n, m, n, k, 0);
    expectClose(memory.f32(c, m * n), plain(m, n, k, dense(a, k), dense(b, n)));
  });

  test('nothing but the result is written', () => {
    const [m, n, k] = [6, 11, 4];
    const c = take(4 * m * 16);
    const around = memory.f32(c, m * 16).fill(7);
    memory.kernels.gemm(resident(noise(m * k, 5)), 4 * k, resident(noise(k * n, 6)), 4 * n, 32, c, 64, m, n, k, 0);
    expect(around.filter((_, i) => i % 16 >= n)).toEqual(new Float32Array(m * 5).fill(7));
  });
});

describe('codes', () => {
  test('8 and 4 bits, scales by block and column: as dequantizing first', () => {
    const size = { m: extent(6), n: extent(20), k: extent(40), block: extent(24), s: fc.integer({ min: 0, max: 99 }) };
    fc.assert(
      fc.property(
        fc.record({ ...size, bits: fc.constantFrom(8 as const, 4 as const) }),
        ({ m, n, k, block, s, bits }) => {
          fc.pre(fitsCodes({ bits, block, k }));
          const blocks = Math.ceil(k / block);
          const codes = Uint8Array.from(noise(k * n, s), (v) => Math.floor(Math.abs(v) * 1000) % 2 ** bits);
          const [scales, zeros] = [
            noise(blocks * n, s + 1),
            noise(blocks * n, s + 2).map((v) => Math.floor(Math.abs(v))),
          ];
          const source = {
            bits,
            k,
            n,
            block,
            code: (p: number, j: number) => codes[p * n + j],
            scale: (i: number, j: number) => scales[i * n + j],
            zero: (i: number, j: number) => zeros[i * n + j],
          };
          const matrix = packCodes(memory, source);
          if (matrix === undefined) throw new Error('memory is full');
          const b = Float32Array.from(codes, (code, i) => {
            const at = Math.floor(Math.floor(i / n) / block) * n + (i % n);
            return (code - zeros[at]) * scales[at];
          });
          const a = noise(m * k, s + 3);
          const c = take(4 * m * n);
          const { codes: q, scales: sc, zeros: z, stride } = matrix;
          const scratch = take(32 * (k + 1));
          // biome-ignore format: operands, then sizes
          memory.kernels.gemm_codes(resident(a), 4 * k, q.at, bits, sc.at, z.at, stride, block, c, 4 * n,
          m, n, k, 0, scratch);
          const found = memory.f32(c, m * n);
          expectClose(found, plain(m, n, k, dense(a, k), dense(b, n)));
          const direct = take(4 * m * n);
          memory.kernels.gemm(resident(a), 4 * k, resident(b), 4 * n, 32, direct, 4 * n, m, n, k, 0);
          expect(found).toEqual(memory.f32(direct, m * n)); // dequantized to the same numbers
        },
      ),
      { numRuns: 30 },
    );
  });

  test('whole numbers are exact', () => {
    fc.assert(
      fc.property(extent(6), extent(20), extent(40), fc.integer({ min: 0, max: 99 }), (m, n, k, s) => {
        const whole = (count: number, seed: number) => noise(count, seed).map((v) => Math.round(v * 500) % 256);
        const [a, b] = [whole(m * k, s), whole(k * n, s + 1)];
        const pairs = Math.ceil(k / 2);
        const [at, bt, c] = [take(4 * m * pairs), take(packedBytes(2 * pairs, n) / 2), take(4 * m * n)];
        const rows = memory.i16(at, 2 * m * pairs).fill(0);
        for (let i = 0; i < m; i++) rows.set(Int16Array.from(a.subarray(i * k, (i + 1) * k)), 2 * i * pairs);
        packPairs(memory.i16(bt, packedBytes(2 * pairs, n) / 4), dense(b, n), k, n);
        memory.kernels.gemm_i16(at, bt, c, m, n, pairs);
        const exact = new Int32Array(m * n);
        gemm(m, n, k, dense(a, k), dense(b, n), dense(exact, n));
        expect(memory.i32(c, m * n)).toEqual(exact);
      }),
      { numRuns: 20 },
    );
  });
});

describe('memory', () => {
  test('without WebAssembly there is none, and nobody fails', async () => {
    vi.resetModules();
    vi.stubGlobal('WebAssembly', undefined);
    try {
      const fresh = await import('../../src/kernels/memory.ts');
      expect(fresh.KernelMemory.open()).toBeUndefined();
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test('views stay valid when it grows, blocks are reused, and it ends where it is told to', () => {
    const small = KernelMemory.open(2 ** 20);
    if (small === undefined) throw new Error('no SIMD in this engine');
    const first = small.take(1000);
    if (first === undefined) throw new Error('no room for 1000 bytes');
    const view = small.f32(first.at, 250).fill(3);
    expect(small.take(500_000)).toBeDefined();
    expect(view[249]).toBe(3);
    expect(small.f32(first.at, 250)).toEqual(view);
    expect(small.take(600_000)).toBeUndefined();
    small.give(first);
    expect(small.take(1000)?.at).toBe(first.at);
  });
});
