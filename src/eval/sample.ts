/** Texts that a model makes up itself, to calibrate on when there is no other: sampled from its own probabilities, one token after another. */
import { constantCache, evaluate } from '../exec/reference.ts';
import { bindDim, isKnown } from '../ir/dim.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { type Random, randomBelow, randomStream } from '../util/rng.ts';
import { logitsOf, type Model, sequenceFeeds } from './sequence.ts';

export interface SampleOptions {
  readonly count: number;
  /** Ids of a window. */
  readonly length: number;
  readonly seed: number;
  /** Id that starts a sequence; without one, a random id does. */
  readonly begin: number | null;
  progress?(done: number, all: number): void;
}

/** Windows of ids drawn from the model. @throws Diagnosed for models without logits, or with inputs that ids do not give. */
export function sampleWindows(model: Model, options: SampleOptions): Int32Array[] {
  const { count, length, begin, seed } = options;
  const logits = logitsOf(model);
  const vocabulary = model.graph.types[logits].shape.at(-1) as number;
  const constants = constantCache();
  return Array.from({ length: count }, (_, n) => {
    options.progress?.(n, count);
    const random = randomStream(seed, `sample ${n}`);
    const ids = new Int32Array(length);
    ids[0] = begin ?? randomBelow(random, vocabulary);
    const next = stepper(model, constants);
    for (let i = 1; i < length; i++) ids[i] = draw(next(ids, i), random);
    return ids;
  });
}

/** Gives the logits after the first `known` ids: with a cache where the model has one, else from the start. */
function stepper(
  model: Model,
  constants: ReturnType<typeof constantCache>,
): (ids: Int32Array, known: number) => Tensor {
  const { graph, roles } = model;
  const logits = logitsOf(model);
  const presents = graph.outputs.filter((v) => roles.get(graph.names[v])?.kind === 'present');
  const pastOf = new Map(
    graph.inputs.flatMap((v) => {
      const role = roles.get(graph.names[v]);
      return role?.kind === 'past' ? [[role.cache, v] as const] : [];
    }),
  );
  if (pastOf.size === 0)
    return (ids, known) => evaluate(graph, [logits], sequenceFeeds(model, ids.subarray(0, known)), { constants })[0];
  let cache = new Map<string, Tensor>();
  return (ids, known) => {
    const feeds = new Map([...sequenceFeeds(model, ids.subarray(known - 1, known)), ...cache]);
    for (const v of graph.inputs) {
      const kind = roles.get(graph.names[v])?.kind;
      if (kind !== 'mask' && kind !== 'positions') continue;
      const { dtype, shape } = graph.types[v];
      const dims = shape.map((d) => bindDim(d, { B: 1, S: 1, P: known - 1 }));
      if (!dims.every(isKnown)) continue;
      const data = allocate(dtype, sizeOf(dims)).fill(kind === 'mask' ? 1 : known - 1);
      feeds.set(graph.names[v], tensor(dtype, dims, data));
    }
    const [out, ...values] = evaluate(graph, [logits, ...presents], feeds, { constants });
    cache = new Map(
      presents.flatMap((v, i) => {
        const role = roles.get(graph.names[v]);
        const past = role?.kind === 'present' ? pastOf.get(role.cache) : undefined;
        return past === undefined ? [] : [[graph.names[past], values[i]] as const];
      }),
    );
    return out;
  };
}

/** An id by the probabilities of the last row. */
function draw({ shape, data }: Tensor, random: Random): number {
  const width = shape[shape.length - 1];
  const from = data.length - width;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = from; i < data.length; i++) most = Math.max(most, data[i]);
  let sum = 0;
  for (let i = from; i < data.length; i++) sum += Math.exp(data[i] - most);
  let left = random() * sum;
  for (let i = from; i < data.length; i++) {
    left -= Math.exp(data[i] - most);
    if (left <= 0) return i - from;
  }
  return width - 1;
}
