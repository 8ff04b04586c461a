/** wafc.rmsnorm and wafc.layernorm: each of `groups` equal consecutive chunks of the features by itself. */
import { type Dim, divDims, printDim } from '../ir/dim.ts';
import { allocate, type Tensor, tensor } from '../tensor/tensor.ts';
import { defineOp, type InferContext, type OpDef, type RunContext } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { stored } from './support/elementwise.ts';
import { tensorAt, typeAt } from './support/inputs.ts';

const EPSILON = 1e-5;

function inferNorm(context: InferContext) {
  const type = typeAt(context, 0);
  const groups = context.attrs.int('groups', 1);
  const width: Dim = type.shape.at(-1) ?? 1;
  const size = divDims(width, groups);
  if (size === undefined)
    context.mismatch({ input: 0, expected: `features that ${groups} groups divide`, found: printDim(width) });
  for (const input of [1, 2]) {
    const shape = context.inputs[input]?.shape;
    if (shape && (shape.length !== 1 || !mayEqual(shape[0], size))) {
      context.mismatch({ input, expected: printShape([size]), found: printShape(shape) });
    }
  }
  return { types: [type] };
}

/** (x - mean) / sqrt(mean square + epsilon) * gamma + beta per chunk; the mean is 0 unless `centred`. */
function normed(context: RunContext, centred: boolean): Tensor[] {
  const x = tensorAt(context, 0);
  const gamma = context.inputs[1]?.data;
  const beta = context.inputs[2]?.data;
  const epsilon = context.attrs.float('epsilon', EPSILON);
  const size = x.shape[x.shape.length - 1] / context.attrs.int('groups', 1);
  const out = allocate(x.dtype, x.data.length);
  for (let base = 0; base < out.length; base += size) {
    let mean = 0;
    if (centred) {
      for (let i = 0; i < size; i++) mean += x.data[base + i];
      mean /= size;
    }
    let squares = 0;
    for (let i = 0; i < size; i++) squares += (x.data[base + i] - mean) ** 2;
    const factor = 1 / Math.sqrt(squares / size + epsilon);
    for (let i = 0; i < size; i++) {
      out[base + i] = (x.data[base + i] - mean) * factor * (gamma?.[i] ?? 1) + (beta?.[i] ?? 0);
    }
  }
  return [tensor(x.dtype, x.shape, stored(x.dtype, out))];
}

const norm = (name: string, centred: boolean): OpDef =>
  defineOp({
    domain: 'wafc',
    name,
    since: [1],
    trait: 'compute',
    infer: inferNorm,
    run: (context) => normed(context, centred),
  });

export const ops = [norm('rmsnorm', false), norm('layernorm', true)];
