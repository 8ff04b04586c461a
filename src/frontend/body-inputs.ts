/** What Loop and Scan feed their bodies, for body inputs to which the model gives no type. */
import type { Graph, Op } from '../ir/graph.ts';
import type { TensorType } from '../ir/types.ts';
import { attrReader } from '../ops/attrs.ts';

/** Type of a value that inference has not reached yet. Compared by identity. */
export const UNTYPED: TensorType = { dtype: 'f32', shape: [] };

/** `body` with types for its untyped inputs; `inputs` are the types of the op's own. */
export function withInputTypes(body: Graph, op: Op, inputs: readonly (TensorType | undefined)[]): Graph {
  if (!body.inputs.some((v) => body.types[v] === UNTYPED)) return body;
  const fed = fedTypes(op, inputs);
  const types = [...body.types];
  for (const [i, v] of body.inputs.entries()) if (types[v] === UNTYPED) types[v] = fed[i] ?? UNTYPED;
  return { ...body, types };
}

function fedTypes(op: Op, inputs: readonly (TensorType | undefined)[]): readonly (TensorType | undefined)[] {
  if (op.kind === 'Loop') return [{ dtype: 'i64', shape: [] }, { dtype: 'bool', shape: [] }, ...inputs.slice(2)];
  if (op.kind !== 'Scan') return [];
  const attrs = attrReader(op);
  const scanned = attrs.int('num_scan_inputs');
  const axes = attrs.ints('scan_input_axes', new Array<number>(scanned).fill(0));
  const states = inputs.length - scanned;
  return inputs.map((type, i) => {
    if (type === undefined || i < states) return type;
    const axis = axes[i - states];
    return { ...type, shape: type.shape.toSpliced(axis < 0 ? axis + type.shape.length : axis, 1) };
  });
}
