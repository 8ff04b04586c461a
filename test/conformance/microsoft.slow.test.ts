/** com.microsoft ops against onnxruntime itself, and the forms it does not run on a CPU against those it does. */
import { describe, expect, test } from 'vitest';
import { fromNumbers, type Tensor } from '../../src/tensor/tensor.ts';
import { difference } from './compare.ts';
import { microsoftCases } from './microsoft-cases.ts';
import { hasOrt, runOrt, runWafc } from './single-op.ts';

if (!hasOrt && process.env.WAFC_REQUIRE_ORT === '1')
  throw new Error('onnxruntime-node is not installed: npm run test:ort');

describe.skipIf(!hasOrt)(`com.microsoft${hasOrt ? '' : ': NOT RUN, no onnxruntime-node (npm run test:ort)'}`, () => {
  for (const single of microsoftCases) {
    test(`${single.op}: ${single.name}`, async () => {
      const expected = await runOrt(single);
      const found = runWafc(single);
      for (const [name, value] of expected) expect(difference(value, found.get(name) as Tensor)).toBeUndefined();
    });
  }
});

test('packed layouts of MultiHeadAttention mean the same as separate ones', () => {
  const [batch, length, heads, size] = [2, 3, 2, 4];
  const width = heads * size;
  const values = (seed: number) => Float32Array.from({ length: batch * length * width }, (_, i) => Math.sin(seed + i));
  const parts = [1, 2, 3].map(values);
  /** [B, S, N, count, H] of the given parts. */
  const pack = (chosen: readonly Float32Array[]): Tensor => {
    const out: number[] = [];
    for (let token = 0; token < batch * length; token++) {
      for (let h = 0; h < heads; h++) {
        for (const part of chosen) out.push(...part.subarray(token * width + h * size, token * width + (h + 1) * size));
      }
    }
    return fromNumbers('f32', [batch, length, heads, chosen.length, size], out);
  };
  const plain = parts.map((p) => fromNumbers('f32', [batch, length, width], p));
  const run = (inputs: readonly Tensor[]) =>
    runWafc({
      op: 'MultiHeadAttention',
      domain: 'com.microsoft',
      attrs: { num_heads: heads },
      inputs,
      outputs: ['f32'],
    }).get('y0') as Tensor;
  const expected = run(plain);
  expect(difference(expected, run([pack(parts)]))).toBeUndefined();
  expect(difference(expected, run([plain[0], pack(parts.slice(1))]))).toBeUndefined();
});
