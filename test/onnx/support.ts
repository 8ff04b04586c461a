/** Hand-made protobuf for files that no library would write, and comparisons for what the reader gives back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import type { OnnxModel, OnnxTensor } from '../../src/onnx/model.ts';

export type Bytes = readonly number[];

export function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    out.push(rest > 0n ? low | 128 : low);
  } while (rest > 0n);
  return out;
}

/** Field with a varint. */
export const int = (field: number, value: number | bigint): number[] => [...varint(field * 8), ...varint(value)];
/** Field with bytes, a string or messages joined. */
export function bytes(field: number, ...content: (Bytes | Uint8Array | string)[]): number[] {
  const body = content.flatMap((c) => (typeof c === 'string' ? [...Buffer.from(c)] : [...c]));
  return [...varint(field * 8 + 2), ...varint(body.length), ...body];
}

/** TensorProto of `dims`, `code` and more fields. */
export const tensorProto = (
  name: string,
  code: number,
  dims: readonly (number | bigint)[],
  ...fields: Bytes[]
): number[] => [...dims.flatMap((n) => int(1, n)), ...int(2, code), ...bytes(8, name), ...fields.flat()];

/** A model of IR 8, opset 17, whose graph has these fields. */
export const modelProto = (...graph: Bytes[]): Uint8Array =>
  Uint8Array.from([...int(1, 8), ...bytes(7, bytes(2, 'g'), ...graph), ...bytes(8, int(2, 17))]);

export const modelWithTensor = (...tensor: Bytes[]): Uint8Array => modelProto(bytes(5, ...tensor));

export function contents(tensor: OnnxTensor): Uint8Array {
  const out = new Uint8Array(tensor.source.byteLength);
  tensor.source.read(0, out);
  return out;
}

/** The code of the one diagnostic that `run` must end in. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics[0].code;
    throw error;
  }
  return 'no diagnostic';
}

/** The model as plain data, with the contents of its tensors, for toEqual. */
export function snapshot(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(([key, item]) => [key, snapshot(item)]);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(snapshot);
  if (typeof value !== 'object' || value === null) return value;
  if ('source' in value && 'dtype' in value) {
    const tensor = value as OnnxTensor;
    const { name, dtype, shape, strings } = tensor;
    return { name, dtype, shape: [...shape], strings, contents: Buffer.from(contents(tensor)).toString('base64') };
  }
  const skipped = new Set(['path', 'missingFiles', 'close']);
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (skipped.has(key) ? [] : [[key, snapshot(item)]])),
  );
}

/** Every tensor of the model's main graph and its node attributes. */
export const tensorsOf = (model: OnnxModel): OnnxTensor[] => [
  ...model.graph.initializers,
  ...model.graph.nodes.flatMap((n) =>
    [...n.attributes.values()].flatMap((a) => (a.kind === 'tensor' ? [a.value] : [])),
  ),
];

/** A folder that goes away after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-onnx-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Numbers in [0, 2^32) from a seed: tests must not depend on the day. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let h = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
    return (h ^ (h >>> 15)) >>> 0;
  };
}
