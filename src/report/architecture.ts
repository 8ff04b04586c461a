/**
 * What a token graph is as a transformer: layers, heads, widths, norm, activation, positions, head. Read off the graph
 * and its stages only; names of nodes and files play no part.
 */
import type { Constant } from '../ir/constant.ts';
import { elementCount } from '../ir/constant.ts';
import type { IoRole, Stage, Stages } from '../ir/facts.ts';
import type { Graph, Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { compareTables, type Tie } from './tied.ts';

export interface Architecture {
  /** A decoder's attention is causal or has a cache. */
  readonly kind: 'decoder' | 'encoder';
  /** Stages with attention. */
  readonly layers: number;
  /** Those of them that are equal but for their weights; the largest such group. */
  readonly identicalLayers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly hidden: number;
  /** Width where the activation is; null when a layer has none. */
  readonly ffn: number | null;
  readonly activation: string | null;
  /** The activation multiplies another projection (SwiGLU, GeGLU). */
  readonly gated: boolean;
  readonly norm: 'RMSNorm' | 'LayerNorm' | null;
  readonly positions: 'rotary' | 'learned' | 'bias' | 'none';
  /** Features of a head that are rotated; 0 when none are. */
  readonly rotaryFeatures: number;
  /** Keys that a token sees at most; null = all. */
  readonly window: number | null;
  readonly vocabulary: number | null;
  /** How the projection to the vocabulary relates to the word embedding; `none`: there is no such projection. */
  readonly head: Tie | 'none';
  readonly cache: boolean;
  /** Weights the token graph uses; a tied table counts once, quantized weights as what they stand for. */
  readonly parameters: number;
}

/** Layers that a shortened graph leaves out: ops of `nodes` stand for `removed` more (frontend/shorten.ts). */
export interface Repeats {
  readonly removed: number;
  readonly nodes: ReadonlySet<string>;
}

export interface ArchitectureInput {
  readonly graph: Graph;
  readonly stages: Stages;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly repeats: Repeats;
  /** Whether the contents of a constant can be read; weights may lie in a file that is not there. */
  readonly isReadable: (constant: Constant) => boolean;
}

const ACTIVATIONS: Readonly<Record<string, string>> = {
  'wafc.silu': 'SiLU',
  'wafc.quick_gelu': 'quick GELU',
  Relu: 'ReLU',
  LeakyRelu: 'leaky ReLU',
  Tanh: 'tanh',
  Sigmoid: 'sigmoid',
  HardSwish: 'hard swish',
  Softplus: 'softplus',
  Elu: 'ELU',
};

/** The architecture; undefined when no stage has attention, so that there is no transformer to describe. */
export function architectureOf(input: ArchitectureInput): Architecture | undefined {
  const { graph, stages, roles, repeats } = input;
  const opsOf = (stage: Stage): readonly Op[] => stage.ops.map((at) => graph.ops[at]);
  const layers = stages.stages.filter((stage) => opsOf(stage).some(isAttention));
  const [first] = mostFrequent(layers);
  if (first === undefined) return undefined;
  const ops = opsOf(first);
  const attention = ops.find(isAttention) as Op;
  const { heads, kvHeads, causal, window } = attention.attrs as Record<string, number>;
  const timesOf = (stage: Stage): number =>
    1 + (opsOf(stage).some((op) => isAttention(op) && repeats.nodes.has(op.origin.node)) ? repeats.removed : 0);
  const count = (of: readonly Stage[]): number => of.reduce((n, stage) => n + timesOf(stage), 0);
  const cache = isPast(graph, roles, attention.inputs[3]);
  const rope = ops.find((op) => op.kind === 'wafc.rope');
  const words = wordTable(graph, roles);
  const activation = activationOf(graph, ops);
  const kind = causal === 1 || cache ? 'decoder' : 'encoder';
  const hidden = hiddenOf(graph, attention);
  const head = headOf(graph, hidden, words, kind);
  return {
    kind,
    layers: count(layers),
    identicalLayers: Math.max(...groupsOf(layers).map(count)),
    heads,
    kvHeads,
    headSize: widthOf(graph, attention.inputs[0]) / heads,
    hidden,
    ...activation,
    norm: normOf(ops) ?? normOf(graph.ops),
    positions: rope
      ? 'rotary'
      : attention.inputs[6] != null
        ? 'bias'
        : hasLearned(graph, roles, words, hidden)
          ? 'learned'
          : 'none',
    rotaryFeatures: typeof rope?.attrs.rotary === 'number' ? rope.attrs.rotary : 0,
    window: window > 0 ? window : null,
    vocabulary: words?.shape[0] ?? null,
    head: head === undefined ? 'none' : words === undefined ? 'unknown' : compareTables(words, head, input.isReadable),
    cache,
    parameters: parametersOf(input),
  };
}

const isAttention = ({ kind }: Op): boolean => kind === 'wafc.attention';

const groupsOf = (layers: readonly Stage[]): Stage[][] => {
  const groups = new Map<number, Stage[]>();
  for (const stage of layers) groups.set(stage.template, [...(groups.get(stage.template) ?? []), stage]);
  return [...groups.values()];
};

/** The largest group of equal layers; the first of equally large ones. */
const mostFrequent = (layers: readonly Stage[]): readonly Stage[] =>
  groupsOf(layers).reduce<readonly Stage[]>((best, group) => (group.length > best.length ? group : best), []);

function widthOf(graph: Graph, v: ValueId | null | undefined): number {
  const width = v == null ? undefined : graph.types[v].shape.at(-1);
  return typeof width === 'number' ? width : 0;
}

const isPast = (graph: Graph, roles: ReadonlyMap<string, IoRole>, v: ValueId | null | undefined): boolean =>
  v != null && roles.get(graph.names[v])?.kind === 'past';

function normOf(ops: readonly Op[]): Architecture['norm'] {
  const norm = ops.find(({ kind, attrs }) => /^wafc\.(?:rms|layer)norm$/.test(kind) && attrs.groups === 1);
  return norm === undefined ? null : norm.kind === 'wafc.rmsnorm' ? 'RMSNorm' : 'LayerNorm';
}

/** The first activation function of a layer, and what is done with its result. */
function activationOf(graph: Graph, ops: readonly Op[]): Pick<Architecture, 'ffn' | 'activation' | 'gated'> {
  const op = ops.find(({ kind }) => kind === 'Gelu' || Object.hasOwn(ACTIVATIONS, kind));
  if (op === undefined) return { ffn: null, activation: null, gated: false };
  const [out] = op.outputs;
  const gated = ops.some(
    ({ kind, inputs }) =>
      kind === 'Mul' && inputs.includes(out) && inputs.every((v) => v !== null && !graph.constants.has(v)),
  );
  const gelu = op.attrs.approximate === 'tanh' ? 'GELU (tanh)' : 'GELU';
  return { ffn: widthOf(graph, out), activation: op.kind === 'Gelu' ? gelu : ACTIVATIONS[op.kind], gated };
}

/** The value that `v` is a copy of: reshapes and casts do not change an index. */
function originOf(graph: Graph, v: ValueId): ValueId {
  const op = producerOf(graph, v);
  const [from] = op?.inputs ?? [];
  return op !== undefined && from != null && ['Cast', 'Reshape', 'Identity', 'Squeeze', 'Unsqueeze'].includes(op.kind)
    ? originOf(graph, from)
    : v;
}

const isIds = (graph: Graph, roles: ReadonlyMap<string, IoRole>, index: ValueId): boolean =>
  roles.get(graph.names[originOf(graph, index)])?.kind === 'tokens';

/** The largest table that token ids look up (token types are ids, too). */
function wordTable(graph: Graph, roles: ReadonlyMap<string, IoRole>): Constant | undefined {
  const tables = graph.ops
    .filter(({ kind, inputs }) => kind === 'wafc.embedding' && isIds(graph, roles, inputs[1] as ValueId))
    .map(({ inputs }) => graph.constants.get(inputs[0] as ValueId));
  return tables.reduce((best, table) => ((table?.shape[0] ?? 0) > (best?.shape[0] ?? 0) ? table : best), undefined);
}

/** A table looked up by something else than ids, and not by types (which are few), or rows added to all sequences alike. */
function hasLearned(
  graph: Graph,
  roles: ReadonlyMap<string, IoRole>,
  words: Constant | undefined,
  hidden: number,
): boolean {
  return graph.ops.some(({ kind, inputs }) => {
    const [a, b] = inputs as ValueId[];
    if (kind === 'wafc.embedding') {
      const by = producerOf(graph, originOf(graph, b))?.kind;
      const rows = graph.constants.get(a)?.shape[0] ?? 0;
      return !isIds(graph, roles, b) && (by === 'wafc.positions' || rows > 8);
    }
    if (kind !== 'Add') return false;
    return [a, b].some((v) => {
      const { shape } = graph.types[v];
      return (
        graph.constants.has(v) &&
        shape.length >= 2 &&
        shape.at(-1) === (words?.shape[1] ?? hidden) &&
        shape.at(-2) !== 1
      );
    });
  });
}

/** What the projection of the queries reads: rotations and norms stand between it and attention. */
function hiddenOf(graph: Graph, attention: Op): number {
  let v = attention.inputs[0];
  for (let op = producerOf(graph, v); op !== undefined; op = producerOf(graph, v)) {
    if (op.kind === 'wafc.linear') return widthOf(graph, op.inputs[0]);
    v = op.inputs[0];
  }
  return widthOf(graph, v);
}

const producerOf = (graph: Graph, v: ValueId | null): Op | undefined =>
  v === null ? undefined : graph.ops.find(({ outputs }) => outputs.includes(v));

/** The weight of the projection to the vocabulary: of a decoder, the last linear layer that does not go back to `hidden`. */
function headOf(
  graph: Graph,
  hidden: number,
  words: Constant | undefined,
  kind: Architecture['kind'],
): Constant | undefined {
  const last = graph.ops.findLast((op) => op.kind === 'wafc.linear');
  const weight = last && graph.constants.get(last.inputs[1] as ValueId);
  const toWords = weight?.shape[1] === words?.shape[0];
  // What an encoder projects to is its own affair, unless it is the vocabulary.
  return toWords || (kind === 'decoder' && weight?.shape[1] !== hidden) ? weight : undefined;
}

/** Matrices once each, however often they are used; vectors each time (equal ones were merged). */
function parametersOf({ graph, stages, repeats }: ArchitectureInput): number {
  const ops = stages.stages.flatMap((stage) => stage.ops.map((at) => graph.ops[at]));
  const users = new Map<string, number>();
  const numbers = new Map<Constant['source'], number>();
  const keyOf = ({ source, offset, shape }: Constant): string => {
    numbers.set(source, numbers.get(source) ?? numbers.size);
    return `${numbers.get(source)}:${offset}:${elementCount(shape)}`;
  };
  const uses = ops.flatMap((op) =>
    op.inputs.flatMap((v) => {
      const constant = v === null ? undefined : graph.constants.get(v);
      if (constant === undefined || constant.shape.length === 0) return [];
      const key = keyOf(constant);
      users.set(key, (users.get(key) ?? 0) + 1);
      return [{ key, constant, repeated: repeats.nodes.has(op.origin.node) }];
    }),
  );
  const seen = new Set<string>();
  let total = 0;
  for (const { key, constant, repeated } of uses) {
    const isMatrix = constant.shape.length > 1;
    if (isMatrix && seen.has(key)) continue;
    seen.add(key);
    // A matrix that a layer beside the repeated one uses, too, is shared by all.
    const own = !isMatrix || users.get(key) === 1;
    total += elementCount(constant.shape) * (repeated && own ? 1 + repeats.removed : 1);
  }
  return total;
}
