/** The interface of an emitted model: what it is fed, what it gives, and how it is run. */
import { checkFeeds } from '../exec/feeds.ts';
import type { FeedSpec } from '../exec/feeds-for.ts';
import type { IoRole } from '../ir/facts.ts';
import { id } from '../ir/ids.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { parseType } from './op.ts';
import type { Placed } from './placed.ts';

/** Tensors by the names of the model's inputs or outputs. */
export type Tensors = Readonly<Record<string, Tensor>>;

export interface ModelIo {
  readonly name: string;
  /** `i64[B,S]`: B sequences, S tokens of this call, P positions before them. */
  readonly type: string;
  /** What it means to whoever feeds it. */
  readonly role: IoRole;
  /** Ids are below it: rows of the table that they index. */
  readonly below?: number;
}

export interface Model<I extends Tensors = Tensors, O extends Tensors = Tensors> {
  readonly name: string;
  readonly inputs: readonly ModelIo[];
  readonly outputs: readonly ModelIo[];
  /** The graph, op by op. A method, so that a model of certain inputs is a model. */
  reference(inputs: I): O;
  /** The plan, core by core; absent where nothing was placed. */
  readonly placed?: Placed;
}

/** Inputs or outputs with their types read. */
export const ioSpecs = (list: readonly ModelIo[]): FeedSpec[] =>
  list.map(({ type, ...rest }) => ({ ...rest, ...parseType(type) }));

/** The model's inputs, as what makes and checks feeds wants them. */
export const feedSpecs = (model: Model): FeedSpec[] => ioSpecs(model.inputs);

/** @throws Diagnosed with one diagnostic per input that is missing, unknown, or of another type. */
export function checkInputs(model: Model, inputs: Tensors): void {
  const specs = feedSpecs(model);
  checkFeeds(
    {
      name: model.name,
      ops: [],
      types: specs,
      names: specs.map(({ name }) => name),
      constants: new Map(),
      inputs: specs.map((_, i) => id(i)),
      outputs: [],
      captures: new Map(),
    },
    new Map(Object.entries(inputs)),
  );
}
