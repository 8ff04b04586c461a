/** onnxruntime-node as an oracle, where it is installed. It is no dependency: 291 MB that only checking needs. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fail } from '../diag/diagnostic.ts';
import type { DType } from '../ir/types.ts';
import { pack, unpack } from '../tensor/pack.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { packageRoot } from '../util/version.ts';

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView;
}
interface OrtSession {
  readonly inputNames: readonly string[];
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
}
interface Ort {
  readonly Tensor: new (type: string, data: ArrayBufferView, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(path: string, options: object): Promise<OrtSession> };
}

const TYPES: Readonly<Partial<Record<DType, string>>> = {
  f32: 'float32',
  f64: 'float64',
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

/** Looks beside the caller, in wafc itself, and where wafc's own tests keep it. */
function loadOrt(): Ort | undefined {
  for (const folder of [process.cwd(), packageRoot(), join(packageRoot(), 'test', 'ort')]) {
    try {
      return createRequire(join(folder, 'package.json'))('onnxruntime-node') as Ort;
    } catch {
      // Not here; try the next place.
    }
  }
  return undefined;
}

/** Whether {@link runOnnxruntime} can run. */
export const hasOnnxruntime = (): boolean => loadOrt() !== undefined;

export interface Oracle {
  run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>;
}

/**
 * A session on the model file that computes what the model says, in floats.
 * @throws Diagnosed when onnxruntime-node is not installed or refuses the model.
 */
export async function openOnnxruntime(path: string): Promise<Oracle> {
  const ort = loadOrt();
  if (ort === undefined) {
    fail({
      code: 'verify/no-onnxruntime',
      message: 'onnxruntime-node is not installed',
      notes: ['npm install onnxruntime-node --ignore-scripts'],
    });
  }
  const session = await sessionOf(ort, path);
  return {
    async run(feeds) {
      const given: Record<string, OrtTensor> = {};
      for (const name of session.inputNames) {
        const value = feeds.get(name);
        if (value === undefined)
          fail({ code: 'exec/missing', message: `expected a value for input ${name}, found none` });
        given[name] = toOrt(ort, value);
      }
      const results = await session.run(given);
      return new Map(Object.entries(results).map(([name, value]) => [name, fromOrt(name, value)]));
    },
  };
}

/**
 * Without optimizations where the model loads so: they may replace weights by int8 math. Some f16 models need the casts that
 * the basic ones insert.
 */
async function sessionOf(ort: Ort, path: string): Promise<OrtSession> {
  const faults: unknown[] = [];
  for (const graphOptimizationLevel of ['disabled', 'basic']) {
    try {
      return await ort.InferenceSession.create(path, {
        graphOptimizationLevel,
        intraOpNumThreads: 1,
        logSeverityLevel: 3,
        // Level 4, the default, would round activations to 8 bits where weights are dequantized.
        extra: { session: { qdq_matmulnbits_accuracy_level: '0' } },
      });
    } catch (error) {
      faults.push(error);
    }
  }
  const [first] = faults;
  return fail({
    code: 'verify/onnxruntime',
    message: `onnxruntime refuses ${path}: ${first instanceof Error ? first.message.split('\n')[0] : String(first)}`,
  });
}

function toOrt(ort: Ort, { dtype, shape, data }: Tensor): OrtTensor {
  const type = TYPES[dtype];
  if (type === undefined) return fail({ code: 'verify/onnxruntime', message: `onnxruntime takes no ${dtype} tensors` });
  const bytes = pack(dtype, data);
  const view = {
    float32: Float32Array,
    float64: Float64Array,
    float16: Uint16Array,
    int64: BigInt64Array,
    int32: Int32Array,
    int16: Int16Array,
    int8: Int8Array,
    uint64: BigUint64Array,
    uint32: Uint32Array,
    uint16: Uint16Array,
    uint8: Uint8Array,
    bool: Uint8Array,
  }[type];
  if (view === undefined) throw new Error(`no array for ${type}`);
  const aligned = bytes.slice();
  return new ort.Tensor(type, new view(aligned.buffer, 0, aligned.byteLength / view.BYTES_PER_ELEMENT), shape);
}

function fromOrt(name: string, { type, dims, data }: OrtTensor): Tensor {
  const found = (Object.keys(TYPES) as DType[]).find((d) => TYPES[d] === type);
  if (found === undefined) return fail({ code: 'verify/onnxruntime', message: `output ${name} has type ${type}` });
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    dtype: found,
    shape: dims.map(Number),
    data: unpack(
      found,
      bytes,
      dims.reduce((a, b) => a * Number(b), 1),
    ),
  };
}
