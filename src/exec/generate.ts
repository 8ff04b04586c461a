/** Greedy decoding, the same loop for every executor of a model. */
import { fail } from '../diag/diagnostic.ts';
import type { Plan } from '../plan/types.ts';
import { allocate, sizeOf, type Tensor, tensor } from '../tensor/tensor.ts';
import type { PlacedModel } from './placed/model.ts';

/** Takes the next ids of a sequence and gives the logits of the last one. */
export type Stepper = (ids: readonly number[]) => Promise<ArrayLike<number>>;

/** `count` most likely tokens after the prompt; the first on a tie. */
export async function generateGreedy(step: Stepper, prompt: readonly number[], count: number): Promise<number[]> {
  const out: number[] = [];
  let next = prompt;
  for (let i = 0; i < count; i++) {
    const logits = await step(next);
    let best = 0;
    for (let v = 1; v < logits.length; v++) if (logits[v] > logits[best]) best = v;
    out.push(best);
    next = [best];
  }
  return out;
}

/** Feeds for `ids` after `past` positions; pasts are the caller's. */
function feedsOf(plan: Plan, ids: readonly number[], past: number): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  for (const { name, dtype, shape, role } of plan.inputs) {
    if (role.kind === 'past') continue;
    const length = role.kind === 'mask' ? (shape[1] === 'S' ? ids.length : past + ids.length) : ids.length;
    const dims = shape.map((d, i) => (typeof d === 'number' ? d : i === 0 ? 1 : length));
    const data = allocate(dtype, sizeOf(dims));
    for (let i = 0; i < data.length; i++)
      data[i] = role.kind === 'mask' ? 1 : role.kind === 'positions' ? past + i : role.kind === 'tokens' ? ids[i] : 0;
    feeds.set(name, tensor(dtype, dims, data));
  }
  return feeds;
}

const lastLogits = (plan: Plan, results: ReadonlyMap<string, Tensor>): ArrayLike<number> => {
  const output = plan.outputs.find(({ role }) => role.kind !== 'present');
  const logits = output && results.get(output.name);
  if (logits === undefined) return fail({ code: 'verify/no-decoder', message: 'the model has no logits' });
  return logits.data.subarray(logits.data.length - (logits.shape.at(-1) ?? 0));
};

/** The placed model; keys and values stay on the cores from step to step. */
export function placedStepper(model: PlacedModel): Stepper {
  const { plan } = model;
  const cached = plan.inputs.some(({ role }) => role.kind === 'past');
  let sequence: number[] = [];
  return async (ids) => {
    const past = sequence.length;
    sequence = [...sequence, ...ids];
    const feeds = cached ? feedsOf(plan, ids, past) : feedsOf(plan, sequence, 0);
    const results = model.call(feeds, { resident: past, keepPresents: true });
    return lastLogits(model.plan, results);
  };
}

/** Any executor with the model's own interface: presents are fed back as pasts, or the whole sequence again without a cache. */
export function referenceStepper(
  plan: Plan,
  run: (feeds: Map<string, Tensor>) => Promise<Map<string, Tensor>>,
): Stepper {
  const pasts = plan.inputs.filter(({ role }) => role.kind === 'past');
  let sequence: number[] = [];
  let cache = new Map<string, Tensor>(
    pasts.map(({ name, dtype, shape }) => {
      const dims = shape.map((d, i) => (typeof d === 'number' ? d : i === 0 ? 1 : 0));
      return [name, tensor(dtype, dims, allocate(dtype, 0))];
    }),
  );
  return async (ids) => {
    const past = sequence.length;
    sequence = [...sequence, ...ids];
    const cached = pasts.length > 0;
    const feeds = feedsOf(plan, cached ? ids : sequence, cached ? past : 0);
    for (const [name, value] of cache) feeds.set(name, value);
    const results = await run(feeds);
    const next = new Map<string, Tensor>();
    for (const { name, role } of pasts) {
      const present = plan.outputs.find(
        (o) => o.role.kind === 'present' && role.kind === 'past' && o.role.cache === role.cache,
      );
      const value = present && results.get(present.name);
      if (value) next.set(name, value);
    }
    cache = next;
    return lastLogits(plan, results);
  };
}
