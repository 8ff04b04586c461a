/** A model that is run many times: traced and prepared at the first call, then only computed. */
import { Session } from '../exec/session/session.ts';
import type { Graph } from '../ir/graph.ts';
import { feedSpecs, type Model, type Tensors } from './model.ts';
import { Trace } from './trace.ts';

/** What `model.reference` says, as a graph. @throws Diagnosed `runtime/trace` when it does more than call ops. */
export const graphOf = (model: Model): Graph =>
  Trace.of(
    model.name,
    feedSpecs(model),
    model.outputs.map(({ name }) => name),
    (inputs) => model.reference(inputs),
  );

/**
 * `model.reference`, prepared once for all calls: weights stay packed, buffers are used again, and products run on SIMD kernels, whose sums
 * are in f32.
 * @throws Diagnosed, when it is called, for inputs that are not the model's, or when an op meets a value that it does not allow.
 */
export function prepare<I extends Tensors, O extends Tensors>(model: Model<I, O>): (inputs: I) => O {
  let session: Session | undefined;
  return (inputs) => {
    session ??= new Session(graphOf(model));
    return Object.fromEntries(session.run(new Map(Object.entries(inputs)))) as O;
  };
}
