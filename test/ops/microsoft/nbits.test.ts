/** MatMulNBits with columns in any group: the sum over the groups of a product whose blocks all have that group's scale. */
import { expect, test } from 'vitest';
import { packCodes, unpackCodes } from '../../../src/tensor/sub-byte.ts';
import { fromNumbers, type Tensor } from '../../../src/tensor/tensor.ts';
import { randomStream } from '../../../src/util/rng.ts';
import { difference } from '../../conformance/compare.ts';
import { runWafc } from '../../conformance/single-op.ts';

const [ROWS, N, K, BLOCK] = [3, 5, 64, 16];
const BLOCKS = K / BLOCK;
const random = randomStream(1, 'groups-of-columns');
const below = (n: number, count: number) => Array.from({ length: count }, () => Math.floor(random() * n));

function product(bits: number, [x, codes, scales, zeros, groups]: readonly (Tensor | undefined)[]): Tensor {
  const attrs = { bits, N, K, block_size: BLOCK };
  const inputs = [x, codes, scales, zeros, groups];
  const found = runWafc({ op: 'MatMulNBits', domain: 'com.microsoft', attrs, inputs, outputs: ['f32'] });
  return found.get('y0') as Tensor;
}

test.each([
  [2, true],
  [2, false],
  [4, true],
  [4, false],
  [8, true],
  [8, false],
])('%i bits, zero points in bytes: %s', (bits, withZeros) => {
  const x = fromNumbers('f32', [ROWS, K], below(100, ROWS * K));
  const codes = fromNumbers('u8', [N, BLOCKS, (BLOCK * bits) / 8], below(256, (N * K * bits) / 8));
  const scales = below(100, N * BLOCKS).map((v) => (v + 1) / 64);
  const zeroBytes = (BLOCKS * bits) / 8;
  const zeros = below(256, N * zeroBytes);
  const groups = below(BLOCKS, K);
  const bytes = (values: ArrayLike<number>): Tensor | undefined =>
    withZeros ? fromNumbers('u8', [N, zeroBytes], values) : undefined;
  const all = fromNumbers('f32', [N, BLOCKS], scales);
  const found = product(bits, [x, codes, all, bytes(zeros), fromNumbers('i32', [K], groups)]);

  const zeroCodes = unpackCodes(bits, Uint8Array.from(zeros), 0, N * BLOCKS);
  const sum = new Float64Array(ROWS * N);
  for (let g = 0; g < BLOCKS; g++) {
    const mine = { ...x, data: x.data.map((v: number, i: number) => (groups[i % K] === g ? v : 0)) };
    const ofGroup = (values: ArrayLike<number>) =>
      Array.from({ length: N * BLOCKS }, (_, i) => values[Math.floor(i / BLOCKS) * BLOCKS + g]);
    const one = fromNumbers('f32', [N, BLOCKS], ofGroup(scales));
    product(bits, [mine, codes, one, bytes(packCodes(bits, ofGroup(zeroCodes)))]).data.forEach(
      (v: number, i: number) => {
        sum[i] += v;
      },
    );
  }
  expect(difference(fromNumbers('f32', [ROWS, N], sum), found)).toBeUndefined();
});

test('a group that does not exist ends the run', () => {
  const inputs = [
    fromNumbers('f32', [1, K], below(2, K)),
    fromNumbers('u8', [N, BLOCKS, BLOCK / 2], below(256, (N * K) / 2)),
    fromNumbers('f32', [N, BLOCKS], below(9, N * BLOCKS)),
    undefined,
    fromNumbers('i32', [K], below(1, K).with(7, BLOCKS)),
  ];
  expect(() => product(4, inputs)).toThrow(`expected groups below ${BLOCKS}, found ${BLOCKS}`);
});
