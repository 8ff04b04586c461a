/**
 * Type inference over a graph: each op's own rule, in order, with integer values propagated as dims so that
 * exporter shape arithmetic is known as soon as its dims are.
 */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { type Dim, equalDims, isKnown, sym } from '../ir/dim.ts';
import { elementCount } from '../ir/constant.ts';
import { type AttrValue, type Graph, isGraphAttr, type Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { printType, type TensorType } from '../ir/types.ts';
import { attrReader } from '../ops/attrs.ts';
import { opFor } from '../ops/registry.ts';
import type { InferContext } from '../ops/op.ts';
import { withInputTypes } from './body-inputs.ts';
import { checkOperands } from './operands.ts';
import { readConstant } from '../tensor/read.ts';

/** Integers longer than this are weights or tables, not shapes. */
const MAX_KNOWN_ELEMENTS = 64;

/** What inference knows: a type per value, and the elements of small integer values. */
export interface Knowledge {
  readonly graph: Graph;
  readonly values: ReadonlyMap<ValueId, readonly Dim[]>;
}

class Mismatch extends Error {}

/**
 * A graph with fresh types. `bind` maps every dim of the graph inputs (renaming and binding symbols).
 * @throws Diagnosed naming node, input, expected and found, for every op whose inputs disagree.
 */
export function inferTypes(graph: Graph, bind: (dim: Dim) => Dim = (d) => d): Graph {
  return inferKnowledge(graph, bind).graph;
}

/** Like {@link inferTypes}, with the known integer values beside the graph. */
export function inferKnowledge(graph: Graph, bind: (dim: Dim) => Dim = (d) => d): Knowledge {
  const faults: Diagnostic[] = [];
  let counter = 0;
  const fresh = (hint: string): Dim => sym(`${hint}.${counter++}`);
  const result = inferScope(graph, bind, new Map(), fresh, faults);
  if (faults.length > 0) throw new Diagnosed(faults);
  return result;
}

interface Outer {
  readonly type: TensorType;
  readonly value: readonly Dim[] | undefined;
}

function inferScope(
  graph: Graph,
  bind: (dim: Dim) => Dim,
  outer: ReadonlyMap<string, Outer>,
  fresh: (hint: string) => Dim,
  faults: Diagnostic[],
): Knowledge {
  const types = [...graph.types];
  const values = new Map<ValueId, readonly Dim[]>();
  for (const value of graph.inputs) types[value] = { ...types[value], shape: types[value].shape.map(bind) };
  for (const [value, name] of graph.captures) {
    const from = outer.get(name);
    if (from === undefined) continue;
    types[value] = from.type;
    if (from.value) values.set(value, from.value);
  }
  for (const [value, constant] of graph.constants) {
    types[value] = { dtype: constant.dtype, shape: constant.shape };
    const integer = /^[iu]\d+$|^bool$/.test(constant.dtype);
    if (integer && elementCount(constant.shape) <= MAX_KNOWN_ELEMENTS)
      values.set(value, Array.from(readConstant(constant).data));
  }
  const poisoned = new Set<ValueId>();
  const ops = graph.ops.map((op) => {
    if (op.inputs.some((v) => v !== null && poisoned.has(v))) {
      for (const v of op.outputs) if (v !== null) poisoned.add(v);
      return op;
    }
    return inferOp(op, graph, types, values, poisoned, outer, fresh, faults);
  });
  return { graph: { ...graph, ops, types }, values };
}

function inferOp(
  op: Op,
  graph: Graph,
  types: TensorType[],
  values: Map<ValueId, readonly Dim[]>,
  poisoned: Set<ValueId>,
  outer: ReadonlyMap<string, Outer>,
  fresh: (hint: string) => Dim,
  faults: Diagnostic[],
): Op {
  const def = opFor(op.kind);
  if (def === undefined) throw new Error(`op ${op.kind} has no registry entry`);
  const before = faults.length;
  const typed = withTypedBodies(op, graph, types, values, outer, fresh, faults);
  try {
    if (faults.length > before) throw new Mismatch(); // of a body: what the op makes of it is not known
    const mismatch: InferContext['mismatch'] = ({ input, expected, found }) => {
      faults.push({
        code: 'onnx/type-mismatch',
        severity: 'error',
        message: `${op.kind} expects ${expected}, found ${found}`,
        node: op.origin.node,
        ...(input === undefined ? {} : { where: `input ${input}${nameOf(graph, op, input)}` }),
      });
      throw new Mismatch();
    };
    checkOperands(op, types, mismatch);
    const result = def.infer({
      version: op.version,
      attrs: attrReader(typed),
      inputs: op.inputs.map((v) => (v === null ? undefined : types[v])),
      outputCount: op.outputs.length,
      valueOf: (i) => (op.inputs[i] === null || op.inputs[i] === undefined ? undefined : values.get(op.inputs[i])),
      fresh,
      mismatch,
    });
    for (const [i, v] of op.outputs.entries()) {
      if (v === null) continue;
      const type = result.types[i];
      if (type === undefined)
        mismatch({ expected: `at most ${result.types.length} outputs`, found: `output ${i} (${graph.names[v]})` });
      const size = type.shape.reduce<number>((n, d) => (isKnown(d) && d > 0 ? n * d : n), 1);
      if (size > Number.MAX_SAFE_INTEGER)
        mismatch({ expected: 'a result of less than 2^53 elements', found: printType(type) });
      types[v] = type;
      const known = result.values?.[i];
      if (known && known.length <= MAX_KNOWN_ELEMENTS) values.set(v, known);
    }
  } catch (error) {
    if (error instanceof Diagnosed) faults.push(...error.diagnostics.map((d) => ({ node: op.origin.node, ...d })));
    else if (!(error instanceof Mismatch)) throw error;
    for (const v of op.outputs) if (v !== null) poisoned.add(v);
  }
  return typed;
}

const nameOf = (graph: Graph, op: Op, input: number): string => {
  const v = op.inputs[input];
  return v === null || v === undefined ? '' : ` (${graph.names[v]}: ${printType(graph.types[v])})`;
};

/** Bodies of If and Loop see the types of the values they capture, and of what the op feeds them (Loop, Scan). */
function withTypedBodies(
  op: Op,
  graph: Graph,
  types: readonly TensorType[],
  values: ReadonlyMap<ValueId, readonly Dim[]>,
  outer: ReadonlyMap<string, Outer>,
  fresh: (hint: string) => Dim,
  faults: Diagnostic[],
): Op {
  if (!Object.values(op.attrs).some(isGraphAttr)) return op;
  const scope = new Map(outer);
  for (const [v, name] of graph.names.entries()) {
    const value = v as ValueId;
    scope.set(name, { type: types[value], value: values.get(value) });
  }
  const attrs: Record<string, AttrValue> = {};
  const taken = takenBranch(op, values);
  for (const [name, attr] of Object.entries(op.attrs)) {
    // A branch that is known not to be taken need not make sense for the shapes at hand.
    if (!isGraphAttr(attr) || (taken !== undefined && name !== taken)) attrs[name] = attr;
    else {
      const body = withInputTypes(
        attr.graph,
        op,
        op.inputs.map((v) => (v === null ? undefined : types[v])),
      );
      attrs[name] = {
        graph: inferScope(body, (d) => d, scope, fresh, faults).graph,
      };
    }
  }
  return { ...op, attrs };
}

/** Whether two knowledge sets agree on a dim; unknown symbols agree with anything. */
export const compatibleDims = (a: Dim, b: Dim): boolean => !isKnown(a) || !isKnown(b) || equalDims(a, b);

/** The branch of an If whose condition is known. */
function takenBranch(op: Op, values: ReadonlyMap<ValueId, readonly Dim[]>): string | undefined {
  const [condition] = op.inputs;
  const known = op.kind === 'If' && condition != null ? values.get(condition)?.[0] : undefined;
  if (known === undefined || !isKnown(known)) return undefined;
  return known === 0 ? 'else_branch' : 'then_branch';
}
