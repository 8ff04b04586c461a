/** One-node models of any domain, run by wafc and by onnxruntime. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import onnxProto from 'onnx-proto';
import { runGraph } from '../../src/exec/reference.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import type { DType } from '../../src/ir/types.ts';
import { CODE_OF } from '../../src/onnx/dtype-codes.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { pack, unpack } from '../../src/tensor/pack.ts';
import { sizeOf, type Tensor } from '../../src/tensor/tensor.ts';

const { onnx } = onnxProto;
export const ORT_HOME = new URL('../ort/package.json', import.meta.url);

/** False where `npm run test:ort` has not installed onnxruntime-node. */
export const hasOrt = existsSync(new URL('./node_modules/onnxruntime-node', ORT_HOME));

export interface SingleOp {
  readonly op: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  readonly version?: number;
  /** Integers, strings and lists of integers; a float is `{ float: x }`. */
  readonly attrs?: Readonly<Record<string, number | string | readonly number[] | { readonly float: number }>>;
  readonly inputs: readonly (Tensor | undefined)[];
  /** Element types of the outputs; '' for one that is not asked for. */
  readonly outputs: readonly (DType | '')[];
}

type Attr = NonNullable<SingleOp['attrs']>[string];

function attribute([name, value]: [string, Attr]) {
  const { AttributeType: kind } = onnx.AttributeProto;
  if (typeof value === 'string') return { name, type: kind.STRING, s: new TextEncoder().encode(value) };
  if (typeof value === 'number') return { name, type: kind.INT, i: value };
  if ('float' in value) return { name, type: kind.FLOAT, f: value.float };
  return { name, type: kind.INTS, ints: [...value] };
}

/** The model file of a single op; inputs x0, x1 .. with their concrete shapes, outputs y0, y1 .. */
export function encodeSingle({ op, domain, version, attrs, inputs, outputs }: SingleOp): Uint8Array {
  const typed = (name: string, dtype: DType, shape?: readonly number[]) => ({
    name,
    type: {
      tensorType: {
        elemType: CODE_OF[dtype],
        ...(shape ? { shape: { dim: shape.map((dimValue) => ({ dimValue })) } } : {}),
      },
    },
  });
  const own = domain === '' ? [] : [{ domain, version: version ?? 1 }];
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: domain === '' ? (version ?? 21) : 21 }, ...own],
    graph: {
      name: op,
      node: [
        {
          opType: op,
          domain,
          name: op,
          input: inputs.map((t, i) => (t ? `x${i}` : '')),
          output: outputs.map((t, i) => (t === '' ? '' : `y${i}`)),
          attribute: Object.entries(attrs ?? {}).map(attribute),
        },
      ],
      input: inputs.flatMap((t, i) => (t ? [typed(`x${i}`, t.dtype, t.shape)] : [])),
      output: outputs.flatMap((t, i) => (t === '' ? [] : [typed(`y${i}`, t)])),
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

/** What wafc computes, by output name; every output must have the type that inference gave it. */
export function runWafc(single: SingleOp): ReadonlyMap<string, Tensor> {
  const { graph } = importOnnx(openModelBytes(encodeSingle(single)));
  const feeds = new Map(single.inputs.flatMap((t, i): [string, Tensor][] => (t ? [[`x${i}`, t]] : [])));
  return runGraph(graph, feeds);
}

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView & { readonly length: number };
}
interface Ort {
  Tensor: new (type: string, data: ArrayBufferView, dims: readonly number[]) => OrtTensor;
  InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: object): Promise<Record<string, OrtTensor>> }>;
  };
}

const ORT_NAME: Readonly<Partial<Record<DType, string>>> = {
  f32: 'float32',
  f16: 'float16',
  i64: 'int64',
  i32: 'int32',
  i8: 'int8',
  u8: 'uint8',
  bool: 'bool',
};
const DTYPE = new Map(Object.entries(ORT_NAME).map(([dtype, name]) => [name, dtype as DType]));

/** The packed bytes in the kind of array that onnxruntime-node asks for. */
function ortArray({ dtype, data }: Tensor): ArrayBufferView {
  const bytes = pack(dtype, data);
  const { buffer, byteOffset } = bytes.byteLength === 0 ? new Uint8Array(8) : bytes;
  if (dtype === 'i64') return new BigInt64Array(buffer, byteOffset, data.length);
  if (dtype === 'f16') return new Uint16Array(buffer, byteOffset, data.length);
  if (dtype === 'i32') return new Int32Array(buffer, byteOffset, data.length);
  if (dtype === 'f32') return new Float32Array(buffer, byteOffset, data.length);
  if (dtype === 'i8') return new Int8Array(buffer, byteOffset, data.length);
  return new Uint8Array(buffer, byteOffset, data.length);
}

/** What onnxruntime computes, without graph optimization, by output name. */
export async function runOrt(single: SingleOp): Promise<ReadonlyMap<string, Tensor>> {
  const ort = createRequire(ORT_HOME)('onnxruntime-node') as Ort;
  const options = { graphOptimizationLevel: 'disabled', logSeverityLevel: 4, intraOpNumThreads: 1 };
  const session = await ort.InferenceSession.create(encodeSingle(single), options);
  const feeds = single.inputs.flatMap((t, i): [string, OrtTensor][] =>
    t ? [[`x${i}`, new ort.Tensor(ORT_NAME[t.dtype] ?? '', ortArray(t), t.shape)]] : [],
  );
  const results = await session.run(Object.fromEntries(feeds));
  return new Map(
    Object.entries(results).map(([name, { type, dims, data }]) => {
      const dtype = DTYPE.get(type) ?? 'f32';
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [name, { dtype, shape: dims, data: unpack(dtype, bytes, sizeOf(dims)) }];
    }),
  );
}
