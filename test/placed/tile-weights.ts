/** Weights over regions for tests of tiles: any cut, any coding, bytes in any order. */
import fc from 'fast-check';
import {
  bytesSource,
  denseConstant,
  groupCount,
  type Quantized,
  sliceConstant,
  transposeConstant,
} from '../../src/ir/constant.ts';
import type { MeshAxis, RegionShape } from '../../src/ir/program.ts';
import { bytesFor, DTYPE_BITS, type DType } from '../../src/ir/types.ts';
import { quantizedConstant } from '../../src/tensor/quantized.ts';
import { readConstant } from '../../src/tensor/read.ts';

export const region: fc.Arbitrary<RegionShape> = fc
  .record({
    outer: fc.integer({ min: 1, max: 3 }),
    inner: fc.integer({ min: 1, max: 5 }),
    height: fc.integer({ min: 1, max: 12 }),
  })
  .map(({ outer, inner, height }) => ({ width: outer * inner, height, groups: outer }));
const X: readonly MeshAxis[] = ['xo', 'xi'];
export const dims = fc.constantFrom<readonly (readonly MeshAxis[])[]>(
  [['y'], X],
  [X, ['y']],
  [[], X],
  [['y'], []],
  [X, []],
);

export interface Drawn {
  readonly stored: DType;
  readonly scaleType: DType;
  readonly zeroType: DType | 'none';
  readonly nested: boolean;
}
export const formats = fc.constantFrom<Drawn>(
  { stored: 'i8', scaleType: 'f32', zeroType: 'none', nested: false },
  { stored: 'u8', scaleType: 'f16', zeroType: 'u8', nested: false },
  { stored: 'i4', scaleType: 'bf16', zeroType: 'none', nested: false },
  { stored: 'u4', scaleType: 'f32', zeroType: 'u4', nested: false },
  { stored: 'u4', scaleType: 'f16', zeroType: 'f16', nested: false },
  { stored: 'u2', scaleType: 'f16', zeroType: 'u2', nested: false },
  { stored: 'f8e4m3fn', scaleType: 'f32', zeroType: 'none', nested: false },
  { stored: 'f4e2m1', scaleType: 'f8e8m0', zeroType: 'none', nested: false },
  { stored: 'f4e2m1', scaleType: 'f8e4m3fn', zeroType: 'none', nested: true },
);

/** A weight [K, N] whose bytes lie in any order, whose groups may be cut on both sides. */
export function weightOf(
  { stored, scaleType, zeroType, nested }: Drawn,
  k: number,
  n: number,
  g: number,
  form: number,
  isZero: (element: number) => boolean = () => false,
): Quantized {
  const turned = form === 1;
  const [rows, block] = turned ? [n, [1, g]] : [k + 4, [g, 1]];
  const shape = [rows, turned ? k + 4 : n];
  const groups = shape.map((extent, d) => groupCount(extent, block[d]));
  const noise = (type: DType, extents: readonly number[], seed: number, set = 0): Uint8Array => {
    const bytes = new Uint8Array(
      bytesFor(
        type,
        extents.reduce((a, b) => a * b),
      ),
    );
    // Exponents stay small: codes and scales that are numbers. Scales are not 0.
    for (let i = 0; i < bytes.length; i++) bytes[i] = ((Math.imul(i + seed, 2654435761) >>> 20) & 0x77) | set;
    return bytes;
  };
  const inMemory = (name: string, type: DType, seed: number) =>
    denseConstant(type, groups, bytesSource(name, noise(type, groups, seed, name === 's' ? 0x11 : 0)));
  const scales = nested
    ? quantizedConstant('s', {
        stored: scaleType,
        shape: groups,
        codes: { packed: noise(scaleType, groups, 5, 0x11) },
        block: groups,
        scales: Float32Array.of(0.37),
        scaleType: 'f32',
        zeros: 0,
      })
    : inMemory('s', scaleType, 5);
  const zeros = zeroType === 'none' ? 0 : inMemory('z', zeroType, 9);
  const packed = noise(stored, shape, 1);
  const points = typeof zeros === 'number' ? undefined : readConstant(zeros).data;
  const bits = DTYPE_BITS[stored];
  for (let i = 0; i < shape[0] * shape[1]; i++) {
    const [r, c] = [Math.floor(i / shape[1]), i % shape[1]];
    const point = points?.[Math.floor(r / block[0]) * groups[1] + Math.floor(c / block[1])] ?? 0;
    if (!isZero(i) || !Number.isInteger(point)) continue;
    const mask = (2 ** bits - 1) << ((i * bits) % 8);
    const at = Math.floor((i * bits) / 8);
    packed[at] = (packed[at] & ~mask) | ((point << ((i * bits) % 8)) & mask);
  }
  const whole = quantizedConstant('w', { stored, shape, codes: { packed }, block, scales, scaleType, zeros });
  const weight = sliceConstant(turned ? transposeConstant(whole, [1, 0]) : whole, 0, 3, 3 + k);
  if (weight.quantization === undefined) throw new Error('a slice keeps its scales');
  return { ...weight, quantization: weight.quantization };
}
