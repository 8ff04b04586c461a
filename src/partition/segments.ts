/**
 * Where a token graph can be cut: after an op where a single activation is live. Between two cuts stands a
 * segment; equal segments have equal signatures, whatever their nodes are called.
 */
import type { Graph, Op } from '../ir/graph.ts';
import { codingOf, isPlaceable } from '../ir/coding.ts';
import { isQuantized } from '../ir/constant.ts';
import { isConstantAttr, isGraphAttr } from '../ir/graph.ts';
import type { OpId, ValueId } from '../ir/ids.ts';
import { HOST_KINDS } from '../ops/wafc-host.ts';
import { printType } from '../ir/types.ts';

/** Views that only bring a result into the shape the model promises; the host does them. */
const OUTPUT_VIEWS = new Set(['Reshape', 'Transpose', 'Identity', 'Squeeze', 'Unsqueeze']);

export interface Split {
  /** Index, position, mask and angle arithmetic before the wafer, and output views after it. */
  readonly before: readonly OpId[];
  readonly wafer: readonly OpId[];
  readonly after: readonly OpId[];
  /** Values that live on the wafer. */
  readonly onWafer: ReadonlySet<ValueId>;
}

/** Parts the ops into those of the host and those of the wafer. */
export function splitHost(graph: Graph, isPast: (v: ValueId) => boolean): Split {
  const onWafer = new Set<ValueId>(graph.inputs.filter(isPast));
  const afterValues = new Set<ValueId>();
  const split = { before: [] as OpId[], wafer: [] as OpId[], after: [] as OpId[], onWafer };
  for (const [i, op] of graph.ops.entries()) {
    const at = i as OpId;
    const reads = (set: ReadonlySet<ValueId>): boolean => op.inputs.some((v) => v !== null && set.has(v));
    // The shape of a past is known to the host; so is all arithmetic of positions.
    const readsShape = op.kind === 'Shape' || HOST_KINDS.has(op.kind);
    const isView = OUTPUT_VIEWS.has(op.kind) && (reads(onWafer) || reads(afterValues));
    const outputs = op.outputs.filter((v): v is ValueId => v !== null);
    if (isView) {
      split.after.push(at);
      for (const v of outputs) afterValues.add(v);
    } else if (!readsShape && (op.kind.startsWith('wafc.') || reads(onWafer))) {
      split.wafer.push(at);
      for (const v of outputs) onWafer.add(v);
    } else split.before.push(at);
  }
  return split;
}

export interface Segment {
  readonly ops: readonly OpId[];
  /** Equal for isomorphic segments: op kinds, attributes, operand structure, types; never names or weights. */
  readonly signature: string;
  readonly hasAttention: boolean;
}

/** Minimal segments in order. */
export function segmentsOf(graph: Graph, split: Split): Segment[] {
  const lastUse = new Map<ValueId, number>();
  for (const [i, at] of split.wafer.entries()) {
    for (const v of graph.ops[at].inputs)
      if (v !== null && split.onWafer.has(v) && !graph.inputs.includes(v)) lastUse.set(v, i);
  }
  const segments: Segment[] = [];
  let start = 0;
  const live = new Set<ValueId>();
  for (const [i, at] of split.wafer.entries()) {
    const op = graph.ops[at];
    for (const v of op.outputs) if (v !== null && (lastUse.get(v) ?? -1) > i) live.add(v);
    for (const v of op.inputs) if (v !== null && lastUse.get(v) === i) live.delete(v);
    const last = i === split.wafer.length - 1;
    if ((live.size === 1 && onlyActivation(graph, live)) || last) {
      const ops = split.wafer.slice(start, i + 1);
      segments.push({
        ops,
        signature: signatureOf(graph, ops, split),
        hasAttention: ops.some((o) => graph.ops[o].kind === 'wafc.attention'),
      });
      start = i + 1;
    }
  }
  return segments;
}

const onlyActivation = (graph: Graph, live: ReadonlySet<ValueId>): boolean =>
  [...live].every((v) => graph.types[v].shape.length === 3);

function signatureOf(graph: Graph, ops: readonly OpId[], split: Split): string {
  const numbers = new Map<ValueId, string>();
  const refer = (v: ValueId | null): string => {
    if (v === null) return '_';
    let number = numbers.get(v);
    if (number === undefined) {
      const kind = graph.constants.has(v) ? 'c' : split.onWafer.has(v) ? 'v' : 'h';
      number = `${kind}${numbers.size}:${printType(graph.types[v])}${kind === 'c' ? `/${constantText(graph, v)}` : ''}`;
      numbers.set(v, number);
    }
    return number;
  };
  return ops
    .map((at) => {
      const op = graph.ops[at];
      const outputs = op.outputs.map((v) => (v === null ? '_' : `${refer(v)}${graph.outputs.includes(v) ? '!' : ''}`));
      return `${outputs.join(',')}=${op.kind}@${op.version}(${op.inputs.map(refer).join(',')})${attrsText(op)}`;
    })
    .join(';');
}

/** Scalars and codings are part of the program, weights are not: layers that differ in one are not the same template. */
const constantText = (graph: Graph, v: ValueId): string => {
  const constant = graph.constants.get(v);
  if (constant === undefined) return '';
  if (isQuantized(constant))
    return `${constant.stored} ${isPlaceable(constant) ? JSON.stringify(codingOf(constant)) : ''}`;
  if (constant.shape.length > 0) return constant.stored;
  const bytes = new Uint8Array(8);
  constant.source.read(0, bytes.subarray(0, Math.min(8, constant.source.byteLength)));
  return Buffer.from(bytes).toString('hex');
};

const attrsText = (op: Op): string =>
  JSON.stringify(op.attrs, (_, value: unknown) =>
    typeof value === 'object' && value !== null && (isConstantAttr(value as never) || isGraphAttr(value as never))
      ? 'tensor'
      : value,
  );
