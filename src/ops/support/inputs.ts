/** Access to inputs that must be there. */
import { type Dim, isKnown } from '../../ir/dim.ts';
import type { TensorType } from '../../ir/types.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { InferContext, RunContext } from '../op.ts';

/** The type of a required input. */
export function typeAt(context: Pick<InferContext, 'inputs' | 'mismatch'>, input: number): TensorType {
  return context.inputs[input] ?? context.mismatch({ input, expected: 'a tensor', found: 'no input' });
}

/** A required input at run time; inference has reported its absence before, so a miss is our fault. */
export function tensorAt(context: Pick<RunContext, 'inputs'>, input: number): Tensor {
  const found = context.inputs[input];
  if (found === undefined) throw new RangeError(`input ${input} is absent`);
  return found;
}

/** Array.from goes through an iterator, which costs more than the rest of most shape code. */
function plainNumbers(data: ArrayLike<number>): number[] {
  const out = new Array<number>(data.length);
  for (let i = 0; i < out.length; i++) out[i] = data[i];
  return out;
}

/** The elements of an integer input as numbers, or undefined where the input is absent. */
export const numbersAt = (context: Pick<RunContext, 'inputs'>, input: number): readonly number[] | undefined => {
  const found = context.inputs[input];
  return found && plainNumbers(found.data);
};

/** Known values of a small integer input as plain numbers. */
export function knownValues(context: InferContext, input: number): readonly number[] | undefined {
  const values = context.inputs[input] === undefined ? undefined : context.valueOf(input);
  return values?.every(isKnown) ? values : undefined;
}

/** No tensor of a model has more dims; a list of them that is longer is a fault, and would not fit memory. */
const MOST_DIMS = 1024;

/** Number of elements of a 1-D input when known, for ranks that depend on it. */
export function lengthOf(context: Pick<InferContext, 'inputs' | 'mismatch'>, input: number): number | undefined {
  const { shape } = typeAt(context, input);
  const [length]: readonly Dim[] = shape.length === 0 ? [1] : shape;
  if (!isKnown(length)) return undefined;
  if (length > MOST_DIMS)
    context.mismatch({ input, expected: `a list of at most ${MOST_DIMS} dims`, found: `${length}` });
  return length;
}
