/** Inputs for a check: seeded, of the right dtypes, inside index ranges, with a past that the model itself could have left. */
import type { IoRole } from '../ir/facts.ts';
import { bindDim, type Dim, isKnown } from '../ir/dim.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { normalStream, randomBelow, randomStream } from '../util/rng.ts';
import { isFloat, type DType } from '../ir/types.ts';

export interface FeedSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  readonly role: IoRole;
  /** Ids of this input are below it, where its table is known. */
  readonly below?: number;
}

export interface FeedSize {
  readonly batch: number;
  readonly sequence: number;
  readonly past: number;
  /** Ids are below this, where their input does not say. */
  readonly vocabulary: number;
  readonly seed: number;
}

/** A feed for every input. Positions count on from the past, masks are all ones, ids and pasts are random. */
export function randomFeeds(inputs: readonly FeedSpec[], size: FeedSize): Map<string, Tensor> {
  const { batch, sequence, past, vocabulary, seed } = size;
  return new Map(
    inputs.map(({ name, dtype, shape, role, below = vocabulary }) => {
      const dims = shape.map((d) => {
        const bound = bindDim(d, { B: batch, S: sequence, P: past });
        if (!isKnown(bound)) throw new Error(`input ${name} has an unbound dim`);
        return bound;
      });
      const data = allocate(dtype, sizeOf(dims));
      const random = randomStream(seed, name);
      const normal = normalStream(random);
      const last = dims.at(-1) ?? 1;
      for (let i = 0; i < data.length; i++) {
        if (role.kind === 'positions') data[i] = past + (i % last);
        else if (role.kind === 'mask') data[i] = 1;
        else if (role.kind === 'tokens') data[i] = randomBelow(random, below);
        else data[i] = isFloat(dtype) ? normal() : randomBelow(random, 2);
      }
      return [name, tensor(dtype, dims, data)];
    }),
  );
}
