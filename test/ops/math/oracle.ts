/** onnxruntime as an oracle for single ops: encodes a one-node model and runs it. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import onnxProto from 'onnx-proto';
import type { AttrValue } from '../../../src/ir/graph.ts';
import { isFloat } from '../../../src/ir/types.ts';
import { CODE_OF } from '../../../src/onnx/dtype-codes.ts';
import { pack, unpack } from '../../../src/tensor/pack.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import type { Call } from './support.ts';

const { onnx } = onnxProto;
const ORT_HOME = new URL('../../ort/package.json', import.meta.url);

/** False where `npm run test:ort` has not installed onnxruntime-node. */
export const hasOracle = existsSync(new URL('./node_modules/onnxruntime-node', ORT_HOME));

/** The part of onnxruntime-node that is used here. */
interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView & { readonly length: number };
}
interface Ort {
  Tensor: new (type: string, data: ArrayBufferView, dims: readonly number[]) => OrtTensor;
  InferenceSession: {
    create(
      model: Uint8Array,
      options: { graphOptimizationLevel: string; logSeverityLevel: number; intraOpNumThreads: number },
    ): Promise<{
      run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
      release(): Promise<void>;
    }>;
  };
}

const NAMES: Readonly<Record<string, string>> = {
  f64: 'float64',
  f32: 'float32',
  f16: 'float16',
  i64: 'int64',
  i32: 'int32',
  i16: 'int16',
  i8: 'int8',
  u64: 'uint64',
  u32: 'uint32',
  u16: 'uint16',
  u8: 'uint8',
  bool: 'bool',
};
const DTYPES = new Map(Object.entries(NAMES).map(([dtype, name]) => [name, dtype]));

const FLOAT_ATTRS = new Set(['alpha', 'beta', 'gamma', 'epsilon', 'lambd', 'bias', 'min', 'max']);

function attribute(name: string, value: AttrValue) {
  const { AttributeType: kind } = onnx.AttributeProto;
  if (typeof value === 'string') return { name, type: kind.STRING, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: kind.INTS, ints: value };
  return FLOAT_ATTRS.has(name)
    ? { name, type: kind.FLOAT, f: Number(value) }
    : { name, type: kind.INT, i: Number(value) };
}

function encode(call: Call, inputs: readonly (Tensor | undefined)[], outputs: readonly Tensor[]): Uint8Array {
  const info = (name: string, { dtype, shape }: Tensor) => ({
    name,
    type: { tensorType: { elemType: CODE_OF[dtype], shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  });
  const names = inputs.map((t, i) => (t ? `x${i}` : ''));
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: call.version }],
    graph: {
      name: call.op,
      node: [
        {
          opType: call.op,
          name: call.op,
          input: names,
          output: outputs.map((_, i) => `y${i}`),
          attribute: Object.entries(call.attrs ?? {}).map(([name, value]) => attribute(name, value)),
        },
      ],
      input: inputs.flatMap((t, i) => (t ? [info(`x${i}`, t)] : [])),
      output: outputs.map((t, i) => ({ name: `y${i}`, type: { tensorType: { elemType: CODE_OF[t.dtype] } } })),
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

/** What onnxruntime computes. `outputs` gives the number of outputs and their types, not their values. */
export async function oracle(
  call: Call,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
): Promise<readonly Tensor[]> {
  const ort = createRequire(ORT_HOME)('onnxruntime-node') as Ort;
  const session = await ort.InferenceSession.create(encode(call, inputs, outputs), {
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 3,
    intraOpNumThreads: 1, // a pool of threads for each of a thousand sessions costs more than all they compute
  });
  const feeds: Record<string, OrtTensor> = {};
  for (const [i, t] of inputs.entries()) {
    if (t) feeds[`x${i}`] = new ort.Tensor(NAMES[t.dtype], view(t), t.shape);
  }
  const results = await session.run(feeds);
  await session.release();
  return outputs.map((_, i) => {
    const { type, dims, data } = results[`y${i}`];
    const dtype = (DTYPES.get(type) ?? 'f32') as Tensor['dtype'];
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { dtype, shape: dims, data: unpack(dtype, bytes, data.length) };
  });
}

/** The packed bytes in the array kind that onnxruntime-node asks for. */
function view({ dtype, data }: Tensor): ArrayBufferView {
  const { buffer } = pack(dtype, data);
  switch (dtype) {
    case 'i64':
      return new BigInt64Array(buffer);
    case 'u64':
      return new BigUint64Array(buffer);
    case 'f16':
      return new Uint16Array(buffer);
    case 'bool':
      return new Uint8Array(buffer);
    default:
      return data;
  }
}

/** A line that names the first element out of tolerance; undefined when all agree. */
export function difference(ours: Tensor, theirs: Tensor, relative = 2e-5, absolute = 2e-6): string | undefined {
  if (ours.dtype !== theirs.dtype || `${ours.shape}` !== `${theirs.shape}`) {
    return `${ours.dtype}[${ours.shape}] instead of ${theirs.dtype}[${theirs.shape}]`;
  }
  const loose = ours.dtype === 'f16' ? 100 : isFloat(ours.dtype) ? 1 : 0;
  for (let i = 0; i < ours.data.length; i++) {
    const [a, b] = [ours.data[i], theirs.data[i]];
    const same = Object.is(a, b) || a === b || Math.abs(a - b) <= loose * (absolute + relative * Math.abs(b));
    if (!same) return `element ${i} is ${a} instead of ${b}`;
  }
  return undefined;
}
