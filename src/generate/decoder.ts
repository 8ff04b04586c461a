/**
 * A decoder as generation sees it: ids go in, logits come out, and what went in can be taken back. The same for every executor of a
 * model; keys and values stay where the executor holds them.
 */
import { fail } from '../diag/diagnostic.ts';
import type { PlacedModel } from '../exec/placed/model.ts';
import { canKeep } from '../exec/session/caches.ts';
import { Session } from '../exec/session/session.ts';
import type { Dim } from '../ir/dim.ts';
import { isKnown } from '../ir/dim.ts';
import type { IoRole } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { DType } from '../ir/types.ts';
import { allocate, sizeOf, type Tensor, tensor, type TensorData } from '../tensor/tensor.ts';

/** What of a model's interface matters: dims that are not numbers are B, S, P and sums of them. */
export interface DecoderIo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (Dim | string)[];
  readonly role: IoRole;
}
export interface DecoderInterface {
  readonly inputs: readonly DecoderIo[];
  readonly outputs: readonly DecoderIo[];
  /** Positions that a sequence can have. */
  readonly context: number;
}

/** Runs the model on feeds by name. */
export type RunModel = (
  feeds: Map<string, Tensor>,
) => Promise<ReadonlyMap<string, Tensor>> | ReadonlyMap<string, Tensor>;

export interface Decoder {
  readonly context: number;
  /** Ids it holds. */
  readonly length: number;
  /**
   * Takes ids after those it holds. Row i of the answer tells what follows ids[i].
   * @throws Diagnosed `run/..` when the model is no decoder of one sequence, or the context is full
   */
  extend(ids: readonly number[]): Promise<Logits>;
  /** Forgets all ids but the first `length`. */
  rewind(length: number): void;
}

export interface Logits {
  /** Words of the vocabulary. */
  readonly width: number;
  /** Logits [width] of what follows id i of the call. @throws Diagnosed when the model gives those of the last id only. */
  row(i: number): TensorData;
}

/** An executor with the cache that it keeps. */
interface Engine {
  /** Logits for feeds of the ids after `past` positions (of all ids, for a model without a cache). */
  run(feeds: Map<string, Tensor>, past: number): Promise<Tensor> | Tensor;
  /** Takes back all positions of the cache from `length` on. */
  rewind(length: number): void;
}

function decoder(io: DecoderInterface, parts: Parts, engine: Engine): Decoder {
  const cached = parts.caches.length > 0;
  let sequence: number[] = [];
  return {
    context: io.context,
    get length() {
      return sequence.length;
    },
    async extend(ids) {
      const past = sequence.length;
      checkRoom(io, past, ids.length);
      const all = [...sequence, ...ids];
      const feeds = cached ? feedsOf(parts, ids, past) : feedsOf(parts, all, 0);
      const logits = await engine.run(feeds, past);
      sequence = all;
      return logitsOf(logits, ids.length);
    },
    rewind(length) {
      sequence = sequence.slice(0, length);
      engine.rewind(length);
    },
  };
}

/** The model's own interface: presents are fed back as pasts; without a cache the whole sequence is run again. */
export function graphDecoder(io: DecoderInterface, run: RunModel): Decoder {
  const parts = partsOf(io);
  const empty = parts.caches.map(({ past }) => {
    const dims = past.shape.map((d, axis) => numberOf(d) ?? (axis === 0 ? 1 : 0));
    return tensor(past.dtype, dims, allocate(past.dtype, sizeOf(dims)));
  });
  let held: readonly Tensor[] = empty;
  return decoder(io, parts, {
    async run(feeds) {
      for (const [i, { past }] of parts.caches.entries()) feeds.set(past.name, held[i]);
      const results = await run(feeds);
      held = parts.caches.map(({ present }) => resultOf(results, present));
      return resultOf(results, parts.logits);
    },
    rewind(length) {
      held = length === 0 ? empty : held.map((cache) => firstPositions(cache, length));
    },
  });
}

/** A graph prepared once: keys and values stay in the session. The fastest on this machine. */
export function sessionDecoder(io: DecoderInterface, graph: Graph): Decoder {
  const parts = partsOf(io);
  const caches = parts.caches.map(({ past, present }) => ({ past: past.name, present: present.name }));
  if (!canKeep(graph, caches)) {
    const session = new Session(graph);
    return graphDecoder(io, (feeds) => session.run(feeds));
  }
  const session = new Session(graph, { caches });
  return decoder(io, parts, {
    run: (feeds) => resultOf(session.run(feeds, [parts.logits.name]), parts.logits),
    rewind(length) {
      if (caches.length > 0) session.truncate(length);
    },
  });
}

/** The placed model: keys and values stay on the cores. Positions that are taken back are written over. */
export function placedDecoder(model: PlacedModel): Decoder {
  const io = { inputs: model.plan.inputs, outputs: model.plan.outputs, context: model.plan.mode.context };
  const parts = partsOf(io);
  return decoder(io, parts, {
    run: (feeds, past) => resultOf(model.call(feeds, { resident: past, keepPresents: true }), parts.logits),
    rewind: () => {},
  });
}

interface Parts {
  readonly inputs: readonly DecoderIo[];
  readonly caches: readonly { readonly past: DecoderIo; readonly present: DecoderIo }[];
  readonly logits: DecoderIo;
}

const numberOf = (d: Dim | string): number | undefined => (typeof d !== 'string' && isKnown(d) ? d : undefined);

/** @throws Diagnosed `run/no-decoder` */
function partsOf({ inputs, outputs }: DecoderInterface): Parts {
  const refuse = (message: string): never =>
    fail({ code: 'run/no-decoder', message, notes: ['only decoders generate: ids in, a row of logits an id out'] });
  const pasts = inputs.filter(({ role }) => role.kind === 'past');
  const caches = pasts.map((past) => ({
    past,
    present:
      outputs.find(
        ({ role }) => role.kind === 'present' && past.role.kind === 'past' && role.cache === past.role.cache,
      ) ?? refuse(`no output is the present of ${past.name}`),
  }));
  const tokens = inputs.find(({ role }) => role.kind === 'tokens') ?? refuse('the model takes no token ids');
  if ((numberOf(tokens.shape[0]) ?? 1) !== 1)
    refuse(`the model takes ${numberOf(tokens.shape[0])} sequences at once, and one is generated`);
  const odd = inputs.find(({ role }) => role.kind === 'plain');
  if (odd !== undefined) refuse(`input ${odd.name} is neither ids, positions, mask nor past`);
  const logits =
    outputs.find(({ role, shape }) => role.kind !== 'present' && shape.length >= 2) ??
    refuse('the model has no output of logits');
  return { inputs, caches, logits };
}

/** @throws Diagnosed `run/context` when `more` tokens do not fit beside those that are `held` */
export function checkRoom({ context }: Pick<Decoder, 'context'>, held: number, more: number): void {
  if (held + more > context)
    fail({
      code: 'run/context',
      message: `${held + more} tokens exceed the context of ${context}`,
      notes: ['compile with a larger --context, or give a shorter prompt'],
    });
}

/** Feeds for `ids` after `past` positions; pasts are the caller's. */
function feedsOf({ inputs }: Parts, ids: readonly number[], past: number): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  let isFirst = true;
  for (const { name, dtype, shape, role } of inputs) {
    if (role.kind === 'past') continue;
    const masked = role.kind === 'mask' && String(shape[1]) !== 'S' ? past + ids.length : ids.length;
    const dims = shape.map((d, axis) => numberOf(d) ?? (axis === 0 ? 1 : masked));
    const data = allocate(dtype, sizeOf(dims));
    if (role.kind === 'mask') data.fill(1);
    else if (role.kind === 'positions') for (let i = 0; i < data.length; i++) data[i] = past + i;
    else if (role.kind === 'tokens') {
      // Further inputs of this role are token types: all 0.
      if (isFirst) data.set(ids);
      isFirst = false;
    }
    feeds.set(name, tensor(dtype, dims, data));
  }
  return feeds;
}

function resultOf(results: ReadonlyMap<string, Tensor>, { name }: DecoderIo): Tensor {
  const value = results.get(name);
  if (value === undefined) throw new Error(`nothing computes output ${name}`);
  return value;
}

/** Rows of the last `count` ids. */
function logitsOf({ shape, data }: Tensor, count: number): Logits {
  const width = shape.at(-1) ?? 0;
  const rows = width === 0 ? 0 : data.length / width;
  return {
    width,
    row(i) {
      const at = rows - count + i;
      if (at < 0 || at >= rows)
        fail({
          code: 'run/last-only',
          message: 'the model gives logits of the last token only',
          notes: ['a model that reviews drafts must give logits of every token'],
        });
      return data.subarray(at * width, (at + 1) * width);
    },
  };
}

/** Keys or values [1, H, P, d] of the first positions. */
function firstPositions(cache: Tensor, length: number): Tensor {
  const [batch, heads, positions, width] = cache.shape;
  if (positions === length) return cache;
  const out = allocate(cache.dtype, batch * heads * length * width);
  for (let h = 0; h < batch * heads; h++)
    out.set(cache.data.subarray(h * positions * width, (h * positions + length) * width), h * length * width);
  return tensor(cache.dtype, [batch, heads, length, width], out);
}
