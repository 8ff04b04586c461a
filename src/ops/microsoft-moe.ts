/**
 * com.microsoft MoE and QMoE: a token goes through its k best experts, each `fc2(act(fc1 x))`, weighted by the router.
 * Expert weights are [experts, out, in]; SwiGLU experts compute gate and value in one fc1, interleaved or side by side.
 */
import { allocate, type Tensor, tensor } from '../tensor/tensor.ts';
import { unpackCodes } from '../tensor/sub-byte.ts';
import { type AttrReader, defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { dequantizeNBits } from './microsoft-nbits.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { stored } from './support/elementwise.ts';
import { unsupported } from './support/fault.ts';
import { dense, gemm, transposed } from './support/gemm.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { geluTanh, sigmoid } from './support/special.ts';

/** One linear layer of one expert: [out, in] and its bias. */
interface Layer {
  readonly weight: ArrayLike<number>;
  readonly out: number;
  readonly bias: ArrayLike<number> | undefined;
}
/** Layers of an expert: 1 up (and gate, where fused), 2 down, 3 the separate gate partner. */
type Experts = (expert: number, layer: 1 | 2 | 3) => Layer | undefined;

const SIMPLE: Readonly<Record<string, (x: number) => number>> = {
  relu: (x) => Math.max(0, x),
  // onnxruntime means the tanh form here.
  gelu: geluTanh,
  silu: (x) => x * sigmoid(x),
  identity: (x) => x,
};

/** gate * sigmoid(alpha * gate) * (value + beta), both clamped to the limit first. */
function swiglu(attrs: AttrReader, fused: Float32Array): Float32Array {
  const fusion = attrs.int('swiglu_fusion', 0);
  if (fusion !== 1 && fusion !== 2) unsupported('MoE', `swiglu with swiglu_fusion ${fusion}; supported: 1, 2`);
  const [alpha, beta] = [attrs.float('activation_alpha', 1), attrs.float('activation_beta', 0)];
  const limit = attrs.float('swiglu_limit', Number.POSITIVE_INFINITY);
  const half = fused.length / 2;
  return Float32Array.from({ length: half }, (_, i) => {
    const gate = Math.min(fusion === 1 ? fused[2 * i] : fused[i], limit);
    const value = Math.max(-limit, Math.min(fusion === 1 ? fused[2 * i + 1] : fused[half + i], limit));
    return gate * sigmoid(alpha * gate) * (value + beta);
  });
}

function apply(layer: Layer, x: Float32Array): Float32Array {
  const out = new Float32Array(layer.out);
  const weight = Float32Array.from(layer.weight);
  gemm(1, layer.out, x.length, dense(x, x.length), transposed(dense(weight, x.length)), dense(out, layer.out));
  if (layer.bias) for (let i = 0; i < out.length; i++) out[i] += layer.bias[i];
  return out;
}

function runExpert(attrs: AttrReader, experts: Experts, expert: number, x: Float32Array): Float32Array {
  const [up, down, partner] = [experts(expert, 1), experts(expert, 2), experts(expert, 3)];
  if (up === undefined || down === undefined) throw new RangeError(`expert ${expert} lacks a layer`);
  const hidden = apply(up, x);
  const name = attrs.string('activation_type', 'relu');
  if (name === 'swiglu') return apply(down, swiglu(attrs, hidden));
  const activation = SIMPLE[name] ?? unsupported('MoE', `activation ${name}`);
  const other = partner && apply(partner, x);
  return apply(
    down,
    hidden.map((v, i) => activation(v) * (other ? other[i] : 1)),
  );
}

/** The k best experts of one token and their weights; ties go to the first. */
function route(
  logits: ArrayLike<number>,
  attrs: AttrReader,
  normalised: boolean,
): { expert: number; weight: number }[] {
  const all = Array.from(logits);
  const max = Math.max(...all);
  const total = all.reduce((sum, v) => sum + Math.exp(v - max), 0);
  const best = all.map((v, expert) => ({ expert, weight: Math.exp(v - max) / total }));
  best.sort((a, b) => b.weight - a.weight || a.expert - b.expert);
  const chosen = best.slice(0, attrs.int('k', 1));
  const sum = chosen.reduce((s, { weight }) => s + weight, 0);
  return normalised ? chosen.map(({ expert, weight }) => ({ expert, weight: weight / sum })) : chosen;
}

function mixture(context: RunContext, experts: Experts, normalised: boolean): Tensor[] {
  const { attrs } = context;
  if (attrs.int('use_sparse_mixer', 0) !== 0) unsupported('MoE', 'use_sparse_mixer');
  const x = tensorAt(context, 0);
  const router = tensorAt(context, 1);
  const width = x.shape[x.shape.length - 1];
  const count = router.shape[1];
  const out = allocate(x.dtype, x.data.length);
  for (let token = 0; token < router.shape[0]; token++) {
    const row = Float32Array.from(x.data.subarray(token * width, (token + 1) * width));
    const sum = new Float64Array(width);
    for (const { expert, weight } of route(
      router.data.subarray(token * count, (token + 1) * count),
      attrs,
      normalised,
    )) {
      const made = runExpert(attrs, experts, expert, row);
      for (let i = 0; i < width; i++) sum[i] += weight * made[i];
    }
    out.set(sum, token * width);
  }
  return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
}

function inferMoe(context: InferContext) {
  const type = typeAt(context, 0);
  const router = typeAt(context, 1).shape;
  const experts = typeAt(context, 2).shape;
  if (router.length !== 2 || experts.length !== 3 || !mayEqual(router[1], experts[0])) {
    context.mismatch({ input: 1, expected: `[tokens, ${printShape(experts.slice(0, 1))}]`, found: printShape(router) });
  }
  return { types: [type] };
}

const rowOf = (t: Tensor | undefined, expert: number): ArrayLike<number> | undefined =>
  t?.data.subarray(expert * (t.data.length / t.shape[0]), (expert + 1) * (t.data.length / t.shape[0]));

const moe = defineOp({
  domain: 'com.microsoft',
  name: 'MoE',
  since: [1],
  trait: 'compute',
  infer: inferMoe,
  run(context) {
    const experts: Experts = (expert, layer) => {
      const weight = context.inputs[2 * layer];
      const row = rowOf(weight, expert);
      return weight && row
        ? { weight: row, out: weight.shape[1], bias: rowOf(context.inputs[2 * layer + 1], expert) }
        : undefined;
    };
    return mixture(context, experts, context.attrs.int('normalize_routing_weights', 0) === 1);
  },
});

/** Weights of one expert out of codes, scales and perhaps zero points; without blocks there is one scale per row. */
function dequantized(context: RunContext, expert: number, at: readonly [codes: number, scales: number, zeros: number]) {
  const [codes, scales, zeros] = at.map((i) => context.inputs[i]);
  if (codes === undefined || scales === undefined) return undefined;
  const bits = context.attrs.int('expert_weight_bits', 4);
  const [, rows, bytes] = codes.shape;
  const columns = (bytes * 8) / bits;
  const slice = (t: Tensor): Tensor => {
    const size = t.data.length / t.shape[0];
    return tensor(t.dtype, [size], t.data.subarray(expert * size, (expert + 1) * size));
  };
  const block = context.attrs.int('block_size', 0) || columns;
  const zero = zeros && slice(zeros);
  // One zero point per row: rows share bytes, unlike blocks.
  const perRow = zero && block === columns ? unpackCodes(bits, Uint8Array.from(zero.data), 0, rows) : undefined;
  const offsets = perRow ? tensor('f32', [rows], Float32Array.from(perRow)) : zero;
  return { weight: dequantizeNBits(slice(codes), slice(scales), offsets, { bits, rows, columns, block }), out: rows };
}

const qmoe: OpDef = defineOp({
  domain: 'com.microsoft',
  name: 'QMoE',
  since: [1],
  trait: 'compute',
  infer: inferMoe,
  run(context) {
    if (context.inputs[14] !== undefined) unsupported('QMoE', 'router_weights');
    const experts: Experts = (expert, layer) => {
      const first = 3 * layer - 1;
      const found = dequantized(context, expert, [first, first + 1, 10 + layer]);
      return found && { ...found, bias: rowOf(context.inputs[first + 2], expert) };
    };
    return mixture(context, experts, true);
  },
});

export const ops = [moe, qmoe];
