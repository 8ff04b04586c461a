/** The walk: which family lifts which op, and how the results become graph outputs. */
import { fail } from '../diag/diagnostic.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { IoRole } from '../ir/facts.ts';
import type { ValueId } from '../ir/ids.ts';
import { isFloat } from '../ir/types.ts';
import { kindOf, type OpDef } from '../ops/op.ts';
import { opFor } from '../ops/registry.ts';
import { capScores, nanOfScores, softmaxScores, whereScores } from './attention.ts';
import { BINARY, liftBinary, liftCast, liftUnary, liftView } from './elementwise.ts';
import { liftFusedAttention, liftFusedRotary } from './fused.ts';
import { type Form, scaled, sizeOfBase } from './form.ts';
import { Lifter, PASS } from './lifter.ts';
import { liftGemm, liftMatMul, liftNorm } from './linear.ts';
import { Probe, type ProbeSize } from './probe.ts';

/**
 * The token graph of `graph`, read off at one probe size.
 * @throws Diagnosed `lift/..` at the first op that cannot be placed token by token.
 */
export function liftAt(graph: Graph, roles: ReadonlyMap<string, IoRole>, size: ProbeSize): Graph {
  const l = new Lifter(graph, roles, new Probe(graph, roles, size));
  for (const op of graph.ops) {
    l.begin(op);
    liftOp(l, op);
  }
  const outputs = graph.outputs.map((v) => finishOutput(l, v));
  return l.builder.finish(graph.name, outputs);
}

function liftOp(l: Lifter, op: Op): void {
  const inputs = op.inputs.filter((v): v is ValueId => v !== null);
  const onHost = inputs.every((v) => l.isControl(v));
  const trait = opFor(op.kind)?.trait;
  if (op.kind === 'Shape') return l.set({ kind: 'control', table: false, content: false });
  const content = inputs.some((v) => {
    const known = l.lifted.get(v);
    return known?.kind === 'control' && known.content;
  });
  if (onHost && !(content && startsActivations(l, op))) {
    const rows = inputs.some((v) => {
      const known = l.lifted.get(v);
      return known?.kind === 'control' && known.table;
    });
    if (!rows || op.kind === 'Cast') {
      const table = rows || isTableLookup(l, op);
      for (const [i] of op.outputs.entries()) l.set({ kind: 'control', table, content }, i);
      return;
    }
    // Relative positions end in scores, learned ones in activations: Lifter.data lifts such an op when an activation asks for it.
    if (trait === 'view' || (BINARY.has(op.kind) && !content)) {
      for (const [i] of op.outputs.entries()) l.set({ kind: 'control', table: true, content }, i);
      return;
    }
  }
  if (trait === 'view' && op.kind !== 'Where') return liftView(l);
  if (BINARY.has(op.kind)) return op.inputs.length === 1 ? liftCast(l) : liftBinary(l);
  liftKind(l, op);
}

/** Where features that are fed (an image's patches, embeddings made elsewhere) become activations: their first product with a weight, or norm. */
function startsActivations(l: Lifter, op: Op): boolean {
  if (op.kind === 'MatMul' || op.kind === 'Gemm')
    return isFloat(l.graph.types[op.inputs[1] as ValueId].dtype) && l.isConstant(op.inputs[1] as ValueId);
  return op.kind === 'Attention' || (Object.hasOwn(KINDS, op.kind) && KINDS[op.kind].becomes.endsWith('norm'));
}

/** Rows of a float matrix, by index: a word embedding, learned positions, or a table of rope angles. */
function isTableLookup(l: Lifter, op: Op): boolean {
  if (op.kind !== 'Gather') return false;
  const table = l.constant(op.inputs[0] as ValueId);
  return table !== undefined && table.shape.length === 2 && isFloat(table.dtype) && (op.attrs.axis ?? 0) === 0;
}

interface Family {
  /** What activations become in the token graph, for documents. */
  readonly becomes: string;
  lift(l: Lifter): void;
}

const operandOf = (l: Lifter, i: number): ValueId | null => l.op.inputs[i] ?? null;
const kindOfFirst = (l: Lifter): string | undefined => l.lifted.get(l.op.inputs[0] as ValueId)?.kind;

const cast: Family = { becomes: 'the value that is cast', lift: liftCast };
const rmsNorm: Family = { becomes: 'wafc.rmsnorm', lift: (l) => norm(l, 'wafc.rmsnorm', 1) };
const layerNorm: Family = { becomes: 'wafc.layernorm', lift: (l) => norm(l, 'wafc.layernorm', 2) };

function norm(l: Lifter, kind: 'wafc.rmsnorm' | 'wafc.layernorm', vectors: number): void {
  const { epsilon } = l.op.attrs;
  const gains = Array.from({ length: vectors }, (_, i) => operandOf(l, i + 1));
  liftNorm(l, kind, gains, typeof epsilon === 'number' ? epsilon : 1e-5);
}

/** Ops that are neither views, nor binary, nor elementwise as they stand. */
const KINDS: Readonly<Record<string, Family>> = {
  MatMul: { becomes: 'wafc.linear, wafc.attention', lift: liftMatMul },
  Gemm: { becomes: 'wafc.linear', lift: liftGemm },
  Neg: { becomes: 'a factor', lift: (l) => l.setData(scaled(l.data(l.op.inputs[0] as ValueId), -1)) },
  Cast: cast,
  CastLike: cast,
  Dropout: cast,
  Softmax: {
    becomes: 'wafc.attention',
    lift(l) {
      if (kindOfFirst(l) === 'scores') return softmaxScores(l);
      l.refuse('of activations that are not attention scores is not supported yet');
    },
  },
  IsNaN: {
    becomes: 'wafc.attention',
    lift(l) {
      if (kindOfFirst(l) === 'probs') return nanOfScores(l);
      l.refuse('of activations is not supported');
    },
  },
  Where: {
    becomes: 'wafc.attention',
    lift(l) {
      if (!whereScores(l)) l.refuse('chooses between activations');
    },
  },
  'wafc.rmsnorm': rmsNorm,
  RMSNormalization: rmsNorm,
  SimplifiedLayerNormalization: rmsNorm,
  'wafc.layernorm': layerNorm,
  LayerNormalization: layerNorm,
  Attention: { becomes: 'wafc.attention', lift: liftFusedAttention },
  RotaryEmbedding: { becomes: 'wafc.rope', lift: liftFusedRotary },
};

/** What activations that go through an op become in the token graph; undefined where only the host can run the op. */
export function tokenForm({ domain, name, trait }: OpDef): string | undefined {
  const kind = kindOf(domain, name);
  if (Object.hasOwn(KINDS, kind)) return KINDS[kind].becomes;
  if (trait === 'view') return 'nothing: other views of the same values';
  return trait === 'elementwise' || BINARY.has(kind) ? 'the same op' : undefined;
}

function liftKind(l: Lifter, op: Op): void {
  if (op.kind === 'Tanh' && kindOfFirst(l) === 'scores') return capScores(l);
  if (Object.hasOwn(KINDS, op.kind)) return KINDS[op.kind].lift(l);
  if (opFor(op.kind)?.trait === 'elementwise') return liftUnary(l);
  l.refuse('has no token-wise form yet');
}

/** A graph output of the source's name and shape. */
function finishOutput(l: Lifter, v: ValueId): ValueId {
  const name = l.graph.names[v];
  const known = l.lifted.get(v);
  l.begin({ kind: 'Identity', version: 14, inputs: [v], outputs: [v], attrs: {}, origin: { node: name, by: [PASS] } });
  const value = known?.kind === 'control' && !known.table ? l.control(v) : outputOf(l, v, l.data(v));
  return nameOutput(l, value, name);
}

function nameOutput(l: Lifter, value: ValueId, name: string): ValueId {
  if (l.builder.claimName(value, name)) return value;
  const [copy] = l.builder.op({
    kind: 'Identity',
    version: 14,
    inputs: [value],
    types: [l.builder.typeOf(value)],
    names: [name],
    origin: { node: name, by: [PASS] },
  });
  l.builder.claimName(copy, name);
  return copy;
}

function outputOf(l: Lifter, v: ValueId, form: Form): ValueId {
  const { base, terms } = form;
  const type = l.graph.types[v];
  if (base.kind === 'cache') {
    const present = l.presents.get(base.past as ValueId);
    if (present === undefined)
      fail({
        code: 'lift/unused-cache',
        message: `cache output ${l.graph.names[v]} is read by no attention`,
        node: l.graph.names[v],
      });
    const [, heads, tokens, hd] = form.shape;
    const inOrder = terms[0].index.every((x, i) => {
      const [b, h, t, d] = [
        Math.floor(i / (heads * tokens * hd)),
        Math.floor(i / (tokens * hd)) % heads,
        Math.floor(i / hd) % tokens,
        i % hd,
      ];
      return x === (b * tokens + t) * base.features + h * hd + d;
    });
    if (!inOrder) l.refuse('returns keys or values in an order that is not [batch, heads, positions, features]');
    return present;
  }
  const plain = l.plain(form);
  const inOrder = plain.index.length === sizeOfBase(plain.base) && plain.index.every((x, i) => x === i);
  const from = l.builder.typeOf(plain.base.value);
  if (inOrder && type.shape.length === 3) return plain.base.value;
  const reshape = (value: ValueId, shape: readonly number[], dims: typeof type.shape): ValueId => {
    const target = l.smallConstant(`${l.graph.names[v]}.shape`, 'i64', [shape.length], shape);
    const [out] = l.builder.op({
      kind: 'Reshape',
      version: 14,
      inputs: [value, target],
      types: [{ dtype: from.dtype, shape: dims }],
      names: [l.graph.names[v]],
      origin: { node: l.graph.names[v], by: [PASS] },
    });
    return out;
  };
  const openDims = type.shape.filter((d) => typeof d !== 'number').length;
  if (inOrder && openDims <= 1)
    return reshape(
      plain.base.value,
      type.shape.map((d) => (typeof d === 'number' ? d : -1)),
      type.shape,
    );
  return headsOutput(l, v, plain, reshape);
}

/** [B, heads, S, hd] out of [B, S, heads * hd]: keys and values that a prefill returns. */
function headsOutput(
  l: Lifter,
  v: ValueId,
  { base, index }: { base: Form['base']; index: Int32Array },
  reshape: (value: ValueId, shape: readonly number[], dims: Graph['types'][number]['shape']) => ValueId,
): ValueId {
  const type = l.graph.types[v];
  const [batch, heads, tokens, hd] = l.probe.shapeOf(v);
  const isHeads =
    type.shape.length === 4 &&
    index.every((x, i) => {
      const [b, h, t, d] = [
        Math.floor(i / (heads * tokens * hd)),
        Math.floor(i / (tokens * hd)) % heads,
        Math.floor(i / hd) % tokens,
        i % hd,
      ];
      return x === (b * tokens + t) * base.features + h * hd + d;
    });
  if (!isHeads) l.refuse(`output ${l.graph.names[v]} is not a token value in order`);
  const split = reshape(base.value, [batch, -1, heads, hd], [batch, base.tokenDim, heads, hd]);
  const [out] = l.builder.op({
    kind: 'Transpose',
    version: 13,
    inputs: [split],
    attrs: { perm: [0, 2, 1, 3] },
    types: [type],
    names: [l.graph.names[v]],
    origin: { node: l.graph.names[v], by: [PASS] },
  });
  return out;
}
