/**
 * NumPy .npy files: little-endian, C order, all numeric element types that NumPy has names for, float16 and bool
 * included. Fortran order is read too; big-endian, structured and object arrays are refused.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fail } from '../diag/diagnostic.ts';
import { rowMajor } from '../ir/constant.ts';
import { bytesFor, type DType } from '../ir/types.ts';
import { pack, unpack } from './pack.ts';
import { allocate, sizeOf, type Tensor } from './tensor.ts';

const DTYPE_OF: Readonly<Record<string, DType>> = {
  f8: 'f64',
  f4: 'f32',
  f2: 'f16',
  i8: 'i64',
  i4: 'i32',
  i2: 'i16',
  i1: 'i8',
  u8: 'u64',
  u4: 'u32',
  u2: 'u16',
  u1: 'u8',
  b1: 'bool',
};
const NAME_OF = new Map(Object.entries(DTYPE_OF).map(([name, dtype]) => [dtype, name]));

const MAGIC = '\x93NUMPY';
/** The header is padded so that the data starts at a multiple of this. */
const ALIGN = 64;

/** The tensor that .npy `bytes` hold; `label` names them in diagnostics. */
export function parseNpy(bytes: Uint8Array, label: string): Tensor {
  const refuse = (expected: string, found: string): never =>
    fail({ code: 'npy/format', message: `${label}: expected ${expected}, found ${found}` });
  const text = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString('latin1');
  if (text(0, 6) !== MAGIC || bytes.length < 12) refuse('an .npy file', 'other bytes');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = bytes[6] >= 2;
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = text(start, Math.min(end, bytes.length));
  const [, order, name] = /'descr':\s*'([<>|=]?)(\w+)'/.exec(header) ?? refuse('a plain descr', header);
  const [, fortran] = /'fortran_order':\s*(True|False)/.exec(header) ?? refuse('fortran_order', header);
  const [, dims] = /'shape':\s*\(([^)]*)\)/.exec(header) ?? refuse('a shape', header);
  const dtype = DTYPE_OF[name] ?? refuse(`one of ${Object.keys(DTYPE_OF).join(', ')}`, name);
  if (order === '>' && !name.endsWith('1')) refuse('little-endian elements', `${order}${name}`);
  const shape = [...dims.matchAll(/\d+/g)].map(([n]) => Number(n));
  const count = sizeOf(shape);
  const length = bytesFor(dtype, count);
  if (bytes.length < end + length) refuse(`${length} bytes of data`, String(Math.max(0, bytes.length - end)));
  const data = unpack(dtype, bytes.subarray(end, end + length), count);
  const tensor = { dtype, shape, data };
  return fortran === 'True' ? fromColumnMajor(tensor) : tensor;
}

function fromColumnMajor({ dtype, shape, data }: Tensor): Tensor {
  const out = allocate(dtype, data.length);
  const strides = rowMajor(shape.toReversed()).reverse();
  const index = shape.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = data[index.reduce((at, k, d) => at + k * strides[d], 0)];
    for (let d = shape.length - 1; d >= 0 && ++index[d] === shape[d]; d--) index[d] = 0;
  }
  return { dtype, shape, data: out };
}

/** .npy bytes (format 1.0) of a tensor. Throws Diagnosed for element types NumPy has no name for (bf16, f8, i4). */
export function printNpy({ dtype, shape, data }: Tensor): Uint8Array {
  const name =
    NAME_OF.get(dtype) ??
    fail({ code: 'npy/format', message: `.npy has no element type for ${dtype}; cast to f32 first` });
  const descr = `${name.endsWith('1') ? '|' : '<'}${name}`;
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`;
  const padded = Math.ceil((10 + header.length + 1) / ALIGN) * ALIGN - 10;
  const head = Buffer.from(`${MAGIC}\x01\x00\0\0${header.padEnd(padded - 1)}\n`, 'latin1');
  head.writeUInt16LE(padded, 8);
  return Buffer.concat([head, pack(dtype, data)]);
}

/** Reads a .npy file. Throws Diagnosed when it is none, or holds what a Tensor cannot. */
export const readNpy = (path: string): Tensor => parseNpy(readFileSync(path), path);

/** Writes `tensor` as a .npy file. */
export const writeNpy = (path: string, tensor: Tensor): void => writeFileSync(path, printNpy(tensor));
