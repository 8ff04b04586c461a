/** Small graphs with quantized weights in every form that ONNX can spell, for export and onnxruntime. */
import { bytesSource } from '../../src/ir/constant.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { bytesFor, type DType } from '../../src/ir/types.ts';
import { pack } from '../../src/tensor/pack.ts';
import { allocate } from '../../src/tensor/tensor.ts';

const bytes = Uint8Array.from({ length: 8192 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 20) & 0xff);
/** Numbers of both signs around 1/4 that their type holds. */
function scales(dtype: DType): Uint8Array {
  const values = allocate(dtype, 512);
  for (let i = 0; i < values.length; i++)
    values[i] = (i % 3 === 0 ? -1 : 1) * (dtype === 'f8e8m0' ? 2 ** -(i % 5) : ((i % 7) + 4) / 32);
  return pack(dtype, dtype === 'f8e8m0' ? values.map(Math.abs) : values).slice(0, bytesFor(dtype, 512));
}
const SOURCES = new Map([
  ['w', bytesSource('w', bytes)],
  [
    'z',
    bytesSource(
      'z',
      bytes.map((b) => b ^ 0x5a),
    ),
  ],
  ...(['f32', 'f16', 'bf16', 'f8e8m0', 'f8e4m3fn'] as const).map(
    (dtype) => [dtype, bytesSource(dtype, scales(dtype))] as const,
  ),
]);

/** How x [3, 64] meets the weight %w [64, 40], or indices a table. */
const USES = {
  product: '%x: f32[3,64]) -> %y {\n  %w = const WEIGHT\n  %y: f32[3,40] = MatMul %x, %w\n}\n',
  half: '%x: f16[3,64]) -> %y {\n  %w = const WEIGHT\n  %y: f16[3,40] = MatMul %x, %w\n}\n',
  gemm: '%x: f32[3,64]) -> %y {\n  %w = const WEIGHT\n  %y: f32[3,40] = Gemm %x, %w {transB=1}\n}\n',
  rows: '%ids: i64[3]) -> %y {\n  %w = const WEIGHT\n  %y: f32[3,64] = Gather %w, %ids {axis=0}\n}\n',
} as const;

export interface QuantizedCase {
  readonly name: string;
  readonly use: keyof typeof USES;
  readonly opset: number;
  readonly weight: string;
  /** Ops of the exported model. */
  readonly ops: string;
  /** The constant as it comes back, where ONNX spells it with other codes. */
  readonly back?: string;
  /** onnxruntime has no kernel for it. */
  readonly noKernel?: true;
}

const NBITS = 'MatMulNBits';
const DQ = 'DequantizeLinear MatMul';

export const QUANTIZED_CASES: readonly QuantizedCase[] = [
  {
    name: '4 bits as in the file',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight: 'f32[64,40] @"w" strides(1,64) stored u4 scales(f32[2,40] @"f32" strides(1,2)) zeros(8) block(32,1)',
  },
  {
    name: '4 bits, rows with padding',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight: 'f32[60,40] @"w" strides(1,64) stored u4 scales(f32[4,40] @"f32" strides(1,4)) zeros(8) block(16,1)',
  },
  {
    name: '4 bits with zero points',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight:
      'f32[64,40] @"w" strides(1,64) stored u4 scales(f32[2,40] @"f32" strides(1,2)) zeros(u4[2,40] @"z" strides(1,2)) block(32,1)',
  },
  {
    name: '8 bits, an odd number of zero points',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight:
      'f32[48,40] @"w" strides(1,48) stored u8 scales(f32[3,40] @"f32" strides(1,3)) zeros(u8[3,40] @"z" strides(1,3)) block(16,1)',
  },
  {
    name: '2 bits',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight:
      'f32[64,40] @"w" strides(1,64) stored u2 scales(f32[2,40] @"f32" strides(1,2)) zeros(u2[2,40] @"z" strides(1,4)) block(32,1)',
  },
  {
    name: 'float zero points',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight:
      'f32[64,40] @"w" strides(1,64) stored u4 scales(f32[2,40] @"f32" strides(1,2)) zeros(f32[2,40] @"f32"+80 strides(1,2)) block(32,1)',
  },
  {
    name: 'another order of bytes',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight: 'f32[64,40] @"w" stored u4 scales(f32[2,40] @"f32") zeros(8) block(32,1)',
  },
  {
    name: 'f16 scales of an f32 model',
    use: 'product',
    opset: 17,
    ops: `Cast ${NBITS}`,
    weight: 'f32[64,40] @"w" stored u4 scales(f16[2,40] @"f16") zeros(8) block(32,1)',
  },
  {
    name: 'f16',
    use: 'half',
    opset: 17,
    ops: NBITS,
    weight: 'f16[64,40] @"w" stored u4 scales(f16[2,40] @"f16") zeros(8) block(32,1)',
  },
  {
    name: 'signed codes',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight: 'f32[64,40] @"w" stored i4 scales(f32[2,40] @"f32") block(32,1)',
    back: 'u4',
  },
  {
    name: 'signed bytes',
    use: 'product',
    opset: 17,
    ops: NBITS,
    weight: 'f32[64,40] @"w" stored i8 scales(f32[4,40] @"f32") block(16,1)',
    back: 'u8',
  },
  {
    name: 'a scale a column',
    use: 'product',
    opset: 17,
    ops: DQ,
    weight: 'f32[64,40] @"w" stored i8 scales(f32[1,40] @"f32") block(64,1)',
  },
  {
    name: 'a scale a column, 4 bits',
    use: 'product',
    opset: 17,
    ops: DQ,
    weight: 'f32[60,40] @"w" stored u4 scales(f32[1,40] @"f32") zeros(u4[1,40] @"z") block(60,1)',
  },
  {
    name: 'one scale',
    use: 'product',
    opset: 17,
    ops: DQ,
    weight: 'f32[64,40] @"w" stored u8 scales(f32[1,1] @"f32") zeros(u8[1,1] @"z") block(64,40)',
  },
  {
    name: 'odd blocks',
    use: 'product',
    opset: 21,
    ops: DQ,
    weight: 'f32[64,40] @"w" stored i4 scales(f32[6,40] @"f32") block(12,1)',
  },
  {
    name: 'odd blocks in an old model',
    use: 'product',
    opset: 17,
    ops: DQ,
    weight: 'f32[64,40] @"w" stored i8 scales(f32[6,40] @"f32") block(12,1)',
  },
  {
    name: 'a group cut by a slice',
    use: 'product',
    opset: 21,
    ops: 'DequantizeLinear Slice MatMul',
    weight: 'f32[64,40] @"w"+160 stored i8 scales(f32[5,40] @"f32") block(16,1) phase(4,0)',
  },
  {
    name: 'a transposed weight of Gemm',
    use: 'gemm',
    opset: 17,
    ops: 'DequantizeLinear Gemm',
    weight: 'f32[40,64] @"w" stored i8 scales(f32[40,1] @"f32") block(1,64)',
  },
  {
    name: 'e4m3',
    use: 'product',
    opset: 19,
    ops: DQ,
    weight: 'f32[64,40] @"w" stored f8e4m3fn scales(f32[1,40] @"f32") block(64,1)',
  },
  {
    name: 'f16 values read as f32',
    use: 'product',
    opset: 21,
    ops: 'DequantizeLinear Cast MatMul',
    weight: 'f32[64,40] @"w" stored i4 scales(f16[1,40] @"f16") block(64,1) rounded f16',
  },
  {
    name: 'mxfp4',
    use: 'product',
    opset: 24,
    ops: DQ,
    noKernel: true,
    weight: 'f32[64,40] @"w" stored f4e2m1 scales(f8e8m0[2,40] @"f8e8m0") block(32,1)',
  },
  {
    name: 'nvfp4',
    use: 'product',
    opset: 24,
    ops: `DequantizeLinear ${DQ}`,
    noKernel: true,
    weight:
      'f32[64,40] @"w" stored f4e2m1 scales(f32[4,40] @"f8e4m3fn" stored f8e4m3fn scales(f32[1,1] [0.37]) block(4,40)) block(16,1)',
  },
  {
    name: 'rows of a table',
    use: 'rows',
    opset: 17,
    ops: 'GatherBlockQuantized',
    weight: 'f32[40,64] @"w" stored u4 scales(f32[40,2] @"f32") zeros(u4[40,2] @"z") block(1,32)',
  },
  {
    name: 'rows of a signed table',
    use: 'rows',
    opset: 17,
    ops: 'GatherBlockQuantized',
    weight: 'f32[40,64] @"w" stored i4 scales(f32[40,4] @"f32") block(1,16)',
  },
  {
    name: 'rows of a table with one scale',
    use: 'rows',
    opset: 17,
    ops: 'DequantizeLinear Gather',
    weight: 'f32[40,64] @"w" stored u8 scales(f32[1,1] @"f32") zeros(u8[1,1] @"z") block(40,64)',
  },
];

export function graphOf({ use, opset, weight }: QuantizedCase): Graph {
  const shape = /^f\d+\[(\d+),(\d+)\]/.exec(weight);
  const body = USES[use]
    .replace('WEIGHT', () => weight)
    .replace('[3,64]) ->', `[3,${use === 'gemm' ? 64 : (shape?.[1] ?? 64)}]) ->`);
  return parseGraph(`graph g opset ${opset} (${body}`, { sources: SOURCES });
}
