/** Products on several threads: the bits of one. */
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { products } from '../../src/exec/session/parallel.ts';
import { Session } from '../../src/exec/session/session.ts';
import { inferTypes } from '../../src/frontend/infer.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { KernelMemory } from '../../src/kernels/memory.ts';
import { Threads } from '../../src/kernels/threads.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';

const [M, K, N] = [40, 300, 203];

test('three threads, cut anywhere, give what one gives', async () => {
  const memory = KernelMemory.open();
  if (memory === undefined) throw new Error('no SIMD in this engine');
  const at = (count: number): number => {
    const block = memory.take(4 * count);
    if (block === undefined) throw new Error('memory is full');
    const seed = block.at;
    memory.f32(block.at, count).set(Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7 + seed)));
    return block.at;
  };
  const [a, b, bias, one, three] = [at(M * K), at(K * N + 16), at(N + 8), at(M * N), at(M * N)];
  const threads = new Threads(memory, 3);
  for (let i = 0; threads.ready < 3 && i < 500; i++) await setTimeout(10);
  expect(threads.ready).toBe(3);
  memory.kernels.gemm(a, 4 * K, b, 4 * N, 32, one, 4 * N, M, N, K, bias);
  for (const cuts of [
    [0, 80, 136, N],
    [0, 8, 200, N],
  ]) {
    memory.f32(three, M * N).fill(0);
    const jobs = cuts.slice(1).map((end, i) => {
      const j = 4 * cuts[i];
      return [a, 4 * K, b + j, 4 * N, 32, three + j, 4 * N, M, end - cuts[i], K, bias + j];
    });
    threads.run('gemm', jobs);
    expect(memory.f32(three, M * N)).toEqual(memory.f32(one, M * N));
  }
});

test('codes, too', async () => {
  const memory = KernelMemory.open();
  if (memory === undefined) throw new Error('no SIMD in this engine');
  const { gemmCodes, panels } = products(memory, 2);
  expect(panels).toBe(2);
  await setTimeout(300); // a worker that is not there yet is not waited for: the results are the same
  const take = (bytes: number): number => memory.take(bytes)?.at ?? 0;
  const columns = Math.ceil(N / 8) * 8;
  const [a, codes, scales, zeros] = [take(4 * M * K), take(K * columns), take(40 * columns), take(40 * columns)];
  const [one, two, scratch] = [take(4 * M * N), take(4 * M * N), take(2 * 32 * (K + 1))];
  memory.f32(a, M * K).set(Float32Array.from({ length: M * K }, (_, i) => Math.sin(i)));
  memory.u8(codes, K * columns).set(Uint8Array.from({ length: K * columns }, (_, i) => i * 7));
  memory.f32(scales, 10 * columns).fill(0.25);
  memory.f32(zeros, 10 * columns).fill(128);
  for (const bits of [8, 4]) {
    const matrix = [codes, bits, scales, zeros, 4 * columns, 32] as const;
    memory.kernels.gemm_codes(a, 4 * K, ...matrix, one, 4 * N, M, N, K, 0, scratch);
    gemmCodes(a, 4 * K, ...matrix, two, 4 * N, M, N, K, 0, scratch);
    expect(memory.f32(two, M * N)).toEqual(memory.f32(one, M * N));
  }
});

test('a session', async () => {
  const graph = inferTypes(
    parseGraph(`graph g opset 17 (%a: f32[M,${K}]) -> %y {
      %b = const f32[${K},${N}] normal(seed=1)
      %y: f32[M,${N}] = MatMul %a, %b
    }`),
  );
  const feeds = new Map([
    [
      'a',
      fromNumbers(
        'f32',
        [M, K],
        Float32Array.from({ length: M * K }, (_, i) => Math.cos(i)),
      ),
    ],
  ]);
  const [one, two] = [new Session(graph), new Session(graph, { threads: 2 })];
  const expected = one.run(feeds);
  expect(two.run(feeds)).toEqual(expected);
  await setTimeout(200);
  expect(two.run(feeds)).toEqual(expected);
});
