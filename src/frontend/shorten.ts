/**
 * A model of many equal layers as one of few, to see its architecture in the time of a few: between the first
 * repetition and the last, nodes are taken out, and what read the last one taken out reads the one before the gap.
 *
 * Repetition is found in the order of the file, by op, attributes, operand distances and types; what weights hold does
 * not count. A model that repeats nothing, or whose repetitions are read from further away, is left as it is.
 */
import { elementCount } from '../ir/constant.ts';
import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValueInfo } from '../onnx/model.ts';

export interface Shortened {
  readonly model: OnnxModel;
  /** Repetitions taken out; 0 when the model is as it was. */
  readonly removed: number;
  /** Labels of the nodes of one repetition that stayed: each stands for `removed` others, too. */
  readonly nodes: ReadonlySet<string>;
}

/** Lengths of a repetition that are tried. */
const MAX_PERIODS = 64;
/** Contents of tensors up to this many bytes tell nodes apart: shapes, axes, scalars. */
const COMPARED_BYTES = 64;
/** Nodes between an operand and the graph input whose size it is. */
const SIDE_STEPS = 4;

/** The model with at most two of its equal layers, and the one before the repetition starts. */
export function shortenModel(model: OnnxModel): Shortened {
  const unchanged: Shortened = { model, removed: 0, nodes: new Set() };
  const values = new Values(model.graph);
  const run = longestRun(model.graph.nodes, values);
  if (run === undefined) return unchanged;
  const { start, period, end } = run;
  // Something of the run must stay behind the gap: what follows the run may read it. More of it where one node is too little.
  const most = Math.floor((end - start - 1) / period) - 1;
  for (const removed of [most, most - 1]) {
    if (removed < 1) break;
    const gap = { from: start + period, to: start + period * (removed + 1), period, end };
    const graph = withoutGap(model.graph, values, gap);
    if (graph === undefined) continue;
    const nodes = new Set(model.graph.nodes.slice(start, gap.from).map(labelOf));
    return { model: { ...model, graph }, removed, nodes };
  }
  return unchanged;
}

const labelOf = (node: OnnxNode): string => node.name || node.outputs.find((o) => o !== '') || node.opType;

interface Run {
  readonly start: number;
  readonly period: number;
  /** One past the last node. */
  readonly end: number;
}
interface Gap {
  readonly from: number;
  readonly to: number;
  readonly period: number;
  /** Of the run. */
  readonly end: number;
}

/** Where the values of a graph come from. */
class Values {
  readonly nodes: readonly OnnxNode[];
  readonly producers = new Map<string, { readonly node: number; readonly output: number }>();
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly inputs: ReadonlyMap<string, OnnxValueInfo>;

  constructor(graph: OnnxGraph) {
    this.nodes = graph.nodes;
    for (const [node, { outputs }] of graph.nodes.entries())
      for (const [output, name] of outputs.entries()) this.producers.set(name, { node, output });
    this.initializers = new Map(graph.initializers.map((t) => [t.name, t]));
    this.inputs = new Map(graph.inputs.map((v) => [v.name, v]));
  }

  /**
   * Whether operand `b` of a node is to it what `a` is to the node `period` before it. Made by corresponding nodes, or,
   * `steps` deep, by equal ones elsewhere: dynamo takes the sizes of all caches in front of the first layer.
   */
  correspond(a: string, b: string, period: number, steps = SIDE_STEPS): boolean {
    if (a === b) return true;
    const [from, to] = [this.producers.get(a), this.producers.get(b)];
    if (from !== undefined || to !== undefined) {
      if (from === undefined || to === undefined || from.output !== to.output) return false;
      if (to.node - from.node === period) return true;
      const [one, other] = [this.nodes[from.node], this.nodes[to.node]];
      return (
        steps > 0 &&
        nodeText(one) === nodeText(other) &&
        one.inputs.every((name, i) => this.correspond(name, other.inputs[i], period, steps - 1))
      );
    }
    const [held, other] = [this.initializers.get(a), this.initializers.get(b)];
    if (held !== undefined || other !== undefined)
      return held !== undefined && other !== undefined && tensorText(held) === tensorText(other);
    const [fed, also] = [this.inputs.get(a), this.inputs.get(b)];
    return fed !== undefined && also !== undefined && inputText(fed) === inputText(also);
  }
}

/** The run of equal repetitions that covers most nodes; the likelier period on a tie. */
function longestRun(nodes: readonly OnnxNode[], values: Values): Run | undefined {
  const numbers = new Map<string, number>();
  const keys = Int32Array.from(nodes, (node) => {
    const text = nodeText(node);
    const known = numbers.get(text) ?? numbers.size;
    numbers.set(text, known);
    return known;
  });
  let best: Run | undefined;
  let most = 0;
  for (const period of likelyPeriods(keys)) {
    for (let at = 0; at + period < keys.length; at++) {
      const start = at;
      while (at + period < keys.length && keys[at] === keys[at + period]) at++;
      const gain = (Math.floor((at + period - start - 1) / period) - 1) * period;
      if (gain > most) {
        most = gain;
        best = { start, period, end: at + period };
      }
    }
  }
  return best && connected(nodes, values, best);
}

/** Distances between equal nodes next to each other, most frequent first: every op that a layer has once has the layer's. */
function likelyPeriods(keys: Int32Array): readonly number[] {
  const last = new Map<number, number>();
  const counts = new Map<number, number>();
  for (const [at, key] of keys.entries()) {
    const before = last.get(key);
    if (before !== undefined) counts.set(at - before, (counts.get(at - before) ?? 0) + 1);
    last.set(key, at);
  }
  const sorted = [...counts].filter(([, n]) => n > 1).sort(([a, n], [b, m]) => m - n || a - b);
  return sorted.slice(0, MAX_PERIODS).map(([period]) => period);
}

/** The longest part of a run of equal ops whose operands correspond, too. */
function connected(nodes: readonly OnnxNode[], values: Values, { start, period, end }: Run): Run {
  let best: Run = { start, period, end: start };
  let open = start;
  for (let at = start; at < end; at++) {
    const [node, next] = [nodes[at], nodes[at + period]];
    const same = at + period < end && node.inputs.every((name, i) => values.correspond(name, next.inputs[i], period));
    if (same) continue;
    if (at + period - open > best.end - best.start) best = { start: open, period, end: Math.min(end, at + period) };
    open = at + 1;
  }
  return best;
}

function nodeText({ opType, domain, overload, inputs, outputs, attributes }: OnnxNode): string {
  const operands = inputs.map((name) => (name === '' ? '_' : '.')).join('');
  const results = outputs.map((name) => (name === '' ? '_' : '.')).join('');
  const attrs = [...attributes].map(([name, a]) => `${name}=${attributeText(a)}`).sort();
  return `${domain}:${opType}:${overload}(${operands})${results}{${attrs.join()}}`;
}

function attributeText(a: OnnxAttribute): string {
  if (a.kind === 'tensor') return tensorText(a.value);
  if (a.kind === 'graph' || a.kind === 'graphs') return 'graph';
  return JSON.stringify(a.value);
}

/** Type, and contents where those are a part of the program rather than weights. */
function tensorText({ dtype, shape, source }: OnnxTensor): string {
  const type = `${dtype}[${shape}]`;
  const isWeight = /^b?f/.test(dtype) && elementCount(shape) > 1;
  if (isWeight || source.byteLength > COMPARED_BYTES) return type;
  const bytes = new Uint8Array(source.byteLength);
  source.read(0, bytes);
  return `${type}${Buffer.from(bytes).toString('hex')}`;
}

/** Symbols of different inputs that mean the same may have different names. */
const inputText = ({ kind, dtype, shape }: OnnxValueInfo): string =>
  `${kind} ${dtype}[${shape?.map((d) => (typeof d === 'number' ? d : '?'))}]`;

/**
 * The graph without the nodes of the gap. Undefined where a node behind it reads further into it than one repetition, or
 * is not of the run: only of those is it known that they read from each repetition what they read from the one before.
 */
function withoutGap(graph: OnnxGraph, { producers }: Values, { from, to, period, end }: Gap): OnnxGraph | undefined {
  const { nodes } = graph;
  const isGone = (name: string): boolean => {
    const at = producers.get(name)?.node ?? -1;
    return at >= from && at < to;
  };
  let broken = false;
  const standIn = (name: string, reader: number): string => {
    if (!isGone(name)) return name;
    const { node, output } = producers.get(name) as { node: number; output: number };
    if (node >= to - period && reader < end) return nodes[node - (to - from)].outputs[output];
    broken = true;
    return name;
  };
  const kept = [
    ...nodes.slice(0, from),
    ...nodes.slice(to).map((node, i) => ({ ...node, inputs: node.inputs.map((name) => standIn(name, to + i)) })),
  ];
  const outputs = graph.outputs.filter(({ name }) => !isGone(name));
  const live = liveNodes(kept, outputs);
  if (broken || live.some((node) => readsOf(node).some(isGone))) return undefined;
  const read = new Set(live.flatMap(readsOf));
  const lost = new Set(nodes.flatMap(readsOf));
  const inputs = graph.inputs.filter(({ name }) => read.has(name) || !lost.has(name));
  return { ...graph, nodes: live, inputs, outputs };
}

/** Nodes that the outputs depend on; in the order of the file, which ONNX asks to be one of computation. */
function liveNodes(nodes: readonly OnnxNode[], outputs: readonly OnnxValueInfo[]): OnnxNode[] {
  const wanted = new Set(outputs.map(({ name }) => name));
  const live: OnnxNode[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some((name) => wanted.has(name))) continue;
    live.push(node);
    for (const name of readsOf(node)) wanted.add(name);
  }
  return live.reverse();
}

const readsOf = (node: OnnxNode): string[] => [...node.inputs, ...[...node.attributes.values()].flatMap(bodyNames)];

/** All names that bodies read, their own included. */
function bodyNames(a: OnnxAttribute): string[] {
  const bodies = a.kind === 'graph' ? [a.value] : a.kind === 'graphs' ? a.value : [];
  return bodies.flatMap((body) => [...body.outputs.map(({ name }) => name), ...body.nodes.flatMap(readsOf)]);
}
