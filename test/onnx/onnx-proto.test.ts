/**
 * The reader against onnx-proto (ONNX IR 8, generated from the official schema) on real files: two decoders that
 * share no code must tell the same.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import onnxProto from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { bytesFor, type DType } from '../../src/ir/types.ts';
import { CODE_OF } from '../../src/onnx/dtype-codes.ts';
import type { OnnxAttribute, OnnxGraph, OnnxTensor, OnnxValueInfo } from '../../src/onnx/model.ts';
import { openModel } from '../../src/onnx/reader.ts';
import { pack } from '../../src/tensor/pack.ts';
import { contents } from './support.ts';

type Proto = Record<string, never>;
const { onnx } = onnxProto;

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../shared/models');
const absent = !existsSync(root);
// oxlint-disable-next-line no-console -- a skipped oracle must be seen
if (absent) console.warn(`skipped: ${root} is not there, so the reader is not compared with onnx-proto`);

/** onnx-proto's typings call int64 `any`; its objects have toString. */
const num = (value: unknown): number => Number(String(value ?? 0));
const domain = (text: string): string => (text === 'ai.onnx' ? '' : text);

/** What a TensorProto says, in our terms; bytes by the plain rule of each field. */
function tensorOf(t: InstanceType<typeof onnx.TensorProto>): unknown {
  const shape = t.dims.map(num);
  const dtype = (Object.keys(CODE_OF) as DType[]).find((d) => CODE_OF[d] === t.dataType);
  if (dtype === undefined) throw new Error(`dtype ${t.dataType}`);
  const count = shape.reduce((a, b) => a * b, 1);
  const base = { name: t.name, dtype, shape };
  if (dtype === 'string') return { ...base, strings: t.stringData.map((s) => Buffer.from(s).toString('utf8')) };
  if (t.externalData.length > 0) return { ...base, location: t.externalData.find((e) => e.key === 'location')?.value };
  return { ...base, contents: Buffer.from(rawOf(t, dtype, count)).toString('base64') };
}

function rawOf(t: InstanceType<typeof onnx.TensorProto>, dtype: DType, count: number): Uint8Array {
  if (t.rawData.length > 0) return t.rawData;
  if (t.floatData.length > 0) return pack('f32', Float32Array.from(t.floatData));
  if (t.doubleData.length > 0) return pack('f64', Float64Array.from(t.doubleData));
  if (t.int64Data.length > 0) return new Uint8Array(BigInt64Array.from(t.int64Data, (v) => BigInt(String(v))).buffer);
  const out = new Uint8Array(bytesFor(dtype, count));
  const values = t.uint64Data.length > 0 ? t.uint64Data : t.int32Data;
  const width = values.length === 0 ? 0 : out.length / values.length;
  for (const [i, v] of values.entries()) {
    const bits = BigInt.asUintN(64, BigInt(String(v)));
    for (let b = 0; b < width; b++) out[i * width + b] = Number((bits >> BigInt(8 * b)) & 255n);
  }
  return out;
}

function oursTensor(t: OnnxTensor): unknown {
  const base = { name: t.name, dtype: t.dtype, shape: [...t.shape] };
  if (t.strings) return { ...base, strings: t.strings };
  if (t.location !== undefined) return { ...base, location: t.location };
  return { ...base, contents: Buffer.from(contents(t)).toString('base64') };
}

const KIND_FIELDS: Readonly<Record<number, string>> = { 1: 'f', 2: 'i', 3: 's', 6: 'floats', 7: 'ints', 8: 'strings' };

function attributeOf(a: InstanceType<typeof onnx.AttributeProto>): unknown {
  if (a.refAttrName !== '') return { ref: a.refAttrName };
  if (a.type === 4) return tensorOf(a.t as never);
  if (a.type === 5) return graphOf(a.g as never);
  const value = (a as unknown as Proto)[KIND_FIELDS[a.type]] as unknown;
  if (a.type === 2) return num(value);
  if (a.type === 3) return Buffer.from(value as Uint8Array).toString('utf8');
  if (a.type === 7) return (value as unknown[]).map(num);
  if (a.type === 8) return (value as Uint8Array[]).map((s) => Buffer.from(s).toString('utf8'));
  return value;
}

function oursAttribute(a: OnnxAttribute): unknown {
  if (a.kind === 'ref') return { ref: a.value };
  if (a.kind === 'tensor') return oursTensor(a.value);
  if (a.kind === 'graph') return oursGraph(a.value);
  return a.kind === 'floats' || a.kind === 'ints' || a.kind === 'strings' ? [...a.value] : a.value;
}

function infoOf(v: InstanceType<typeof onnx.ValueInfoProto>): unknown {
  const tensor = v.type?.tensorType;
  const dims = tensor?.shape?.dim?.map((d) => {
    const set = d as { dimParam?: string; dimValue?: unknown };
    if (Object.hasOwn(d, 'dimParam')) return set.dimParam === '' ? null : set.dimParam;
    return Object.hasOwn(d, 'dimValue') && num(set.dimValue) !== -1 ? num(set.dimValue) : null;
  });
  return { name: v.name, code: tensor?.elemType ?? 0, shape: dims };
}

const oursInfo = (v: OnnxValueInfo): unknown => ({
  name: v.name,
  code: v.kind === 'tensor' ? v.elementCode : 0,
  shape: v.kind === 'tensor' ? v.shape : undefined,
});

function graphOf(g: InstanceType<typeof onnx.GraphProto>): unknown {
  return {
    name: g.name,
    nodes: g.node.map((n) => ({
      name: n.name,
      opType: n.opType,
      domain: domain(n.domain ?? ''),
      inputs: n.input,
      outputs: n.output,
      attributes: Object.fromEntries((n.attribute ?? []).map((a) => [a.name, attributeOf(a as never)])),
    })),
    initializers: g.initializer.map((t) => tensorOf(t as never)),
    sparse: g.sparseInitializer.length,
    inputs: g.input.map((v) => infoOf(v as never)),
    outputs: g.output.map((v) => infoOf(v as never)),
    valueInfo: g.valueInfo.map((v) => infoOf(v as never)),
  };
}

function oursGraph(g: OnnxGraph): unknown {
  return {
    name: g.name,
    nodes: g.nodes.map(({ name, opType, domain: d, inputs, outputs, attributes }) => ({
      name,
      opType,
      domain: d,
      inputs: [...inputs],
      outputs: [...outputs],
      attributes: Object.fromEntries([...attributes].map(([key, a]) => [key, oursAttribute(a)])),
    })),
    initializers: g.initializers.map(oursTensor),
    sparse: g.sparseInitializers.length,
    inputs: g.inputs.map(oursInfo),
    outputs: g.outputs.map(oursInfo),
    valueInfo: g.valueInfo.map(oursInfo),
  };
}

/** All exports, and every tenth of the two thousand conformance models. */
function sample(): string[] {
  const all = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.onnx'))
    .sort();
  return all.filter((f, i) => f.startsWith('models/exports') || f.startsWith('pico') || i % 10 === 0);
}

describe.skipIf(absent)('onnx-proto', () => {
  test('decodes the same from every file of IR 8 and below', () => {
    let compared = 0;
    for (const file of sample()) {
      const path = join(root, file);
      const model = openModel(path);
      if (model.irVersion <= 8) {
        const proto = onnx.ModelProto.decode(readFileSync(path));
        expect(num(proto.irVersion)).toBe(model.irVersion);
        expect(oursGraph(model.graph), `${file}`).toEqual(graphOf(proto.graph as never));
        expect(Object.fromEntries(model.opsets), `${file}`).toEqual(
          Object.fromEntries(proto.opsetImport.map((o) => [domain(o.domain ?? ''), num(o.version)])),
        );
        expect(model.functions.length).toBe(proto.functions.length);
        compared++;
      }
      model.close();
    }
    expect(compared).toBeGreaterThan(100);
  });
});
