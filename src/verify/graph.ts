/**
 * Recomputes what every graph must satisfy, trusting nothing that built it; collects all faults.
 *
 * G1  tables agree: a name and a type per value, names unique
 * G2  every id an op, an output or a table uses is in range
 * G3  each value is defined once: as input, constant, capture or op output
 * G4  an op comes after the ops that define what it reads (topological order); graph outputs are defined
 * G5  known dims are integers >= 0
 * G6  a constant's type is its value's type, and its view lies inside its source
 * G7  the op kind is registered and its version is one that the registry knows
 * G8  a body's captures name values of the graphs around it
 */
import { type Constant, elementCount } from '../ir/constant.ts';
import { isKnown } from '../ir/dim.ts';
import { type Graph, isConstantAttr, isGraphAttr, type Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { bytesFor, printType, type TensorType } from '../ir/types.ts';
import type { Fault } from './fault.ts';

export interface GraphRules {
  /** Opset versions at which the kind changed, oldest first; undefined for a kind that is not registered. */
  since(kind: string): readonly number[] | undefined;
}

/** All faults of `graph` and of its bodies. `outer`: names that enclosing graphs define before it. */
export function verifyGraph(graph: Graph, rules: GraphRules, outer: ReadonlySet<string> = new Set()): readonly Fault[] {
  const faults = [...verifyTables(graph), ...verifyDefinitions(graph)];
  // The rest reads tables by id: pointless, and unsafe, when ids are wrong.
  if (faults.some(({ rule }) => rule === 'G1' || rule === 'G2')) return faults;
  for (const [v, type] of graph.types.entries()) faults.push(...verifyDims(type, graph.names[v]));
  for (const [v, constant] of graph.constants) {
    const text = printType({ dtype: constant.dtype, shape: constant.shape });
    const type = printType(graph.types[v]);
    if (text !== type) faults.push({ rule: 'G6', message: `%${graph.names[v]} is ${type}, its constant ${text}` });
    faults.push(...verifyView(constant, graph.names[v]));
  }
  for (const [v, name] of graph.captures) {
    if (outer.has(name)) continue;
    faults.push({
      rule: 'G8',
      message: `%${graph.names[v]} of ${graph.name} captures %${name}, which is not in scope`,
    });
  }
  faults.push(...verifyOps(graph, rules, outer));
  return faults;
}

function verifyTables({ names, types }: Graph): Fault[] {
  const faults: Fault[] = [];
  if (names.length !== types.length) {
    faults.push({ rule: 'G1', message: `${types.length} types but ${names.length} names` });
  }
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) faults.push({ rule: 'G1', message: `two values are named %${name}` });
    seen.add(name);
  }
  return faults;
}

function verifyDefinitions(graph: Graph): Fault[] {
  const { types, names, ops, inputs, outputs, constants, captures } = graph;
  const faults: Fault[] = [];
  const state = new Uint8Array(types.length); // 1: defined
  const define = (value: ValueId, how: string, node?: string): void => {
    if (!(Number.isInteger(value) && value >= 0 && value < types.length)) {
      faults.push({ rule: 'G2', message: `${how} has the value id ${value} of ${types.length}`, ...at(node) });
    } else if (state[value] === 1) {
      faults.push({ rule: 'G3', message: `%${names[value]} is defined again by ${how}`, ...at(node) });
    } else state[value] = 1;
  };
  const use = (value: ValueId, how: string, node?: string): void => {
    if (!(Number.isInteger(value) && value >= 0 && value < types.length)) {
      faults.push({ rule: 'G2', message: `${how} reads the value id ${value} of ${types.length}`, ...at(node) });
    } else if (state[value] === 0) {
      faults.push({ rule: 'G4', message: `${how} reads %${names[value]} before it is defined`, ...at(node) });
    }
  };
  for (const value of inputs) define(value, 'an input');
  for (const value of captures.keys()) define(value, 'a capture');
  for (const value of constants.keys()) define(value, 'a constant');
  for (const [index, op] of ops.entries()) {
    const how = `op ${index} (${op.kind})`;
    for (const value of op.inputs) if (value !== null) use(value, how, op.origin.node);
    for (const value of op.outputs) if (value !== null) define(value, how, op.origin.node);
  }
  for (const value of outputs) use(value, 'the list of outputs');
  for (const [value, defined] of state.entries()) {
    if (defined === 0) faults.push({ rule: 'G3', message: `nothing defines %${names[value]} (id ${value})` });
  }
  return faults;
}

function verifyDims({ shape }: TensorType, name: string): Fault[] {
  return shape.flatMap((dim, d) =>
    isKnown(dim) && !(Number.isInteger(dim) && dim >= 0)
      ? [{ rule: 'G5', message: `dim ${d} of %${name} is ${dim}, not an integer >= 0` }]
      : [],
  );
}

function verifyView({ shape, stored, source, offset, strides }: Constant, name: string): Fault[] {
  if (strides.length !== shape.length) {
    return [{ rule: 'G6', message: `%${name} has ${shape.length} dims but ${strides.length} strides` }];
  }
  if (elementCount(shape) === 0 || stored === 'string') return [];
  let [first, last] = [offset, offset];
  for (const [d, extent] of shape.entries()) {
    const reach = (extent - 1) * strides[d];
    if (reach < 0) first += reach;
    else last += reach;
  }
  const bytes = bytesFor(stored, last + 1);
  if (first >= 0 && bytes <= source.byteLength) return [];
  const found = `elements ${first}..${last} of ${stored}, ${bytes} bytes`;
  return [{ rule: 'G6', message: `%${name} views ${found} of ${source.label}, which has ${source.byteLength}` }];
}

function verifyOps(graph: Graph, rules: GraphRules, outer: ReadonlySet<string>): Fault[] {
  const faults: Fault[] = [];
  const scope = new Set(outer);
  const free = [...graph.inputs, ...graph.constants.keys(), ...graph.captures.keys()];
  for (const value of free) scope.add(graph.names[value]);
  for (const op of graph.ops) {
    faults.push(...verifyKind(op, rules));
    for (const [key, attr] of Object.entries(op.attrs)) {
      if (isConstantAttr(attr))
        faults.push(...verifyView(attr, `${op.kind}.${key}`).map((f) => ({ ...f, ...at(op.origin.node) })));
      if (isGraphAttr(attr)) faults.push(...verifyGraph(attr.graph, rules, scope));
    }
    for (const value of op.outputs) if (value !== null) scope.add(graph.names[value]);
  }
  return faults;
}

function verifyKind({ kind, version, origin }: Op, rules: GraphRules): Fault[] {
  const since = rules.since(kind);
  if (since === undefined)
    return [{ rule: 'G7', message: `the op kind ${kind} is not registered`, ...at(origin.node) }];
  if (version >= since[0]) return [];
  return [
    { rule: 'G7', message: `${kind} at version ${version}; the registry starts at ${since[0]}`, ...at(origin.node) },
  ];
}

const at = (node: string | undefined): { node?: string } => (node === undefined ? {} : { node });
