/**
 * The placed executor: a plan directory run as placed. A call has the model's own interface (ids, mask, past -> logits,
 * present); inside, the host's graphs run on the reference executor and every stage runs core by core, one step
 * after another, with keys and values resident.
 */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fail } from '../../diag/diagnostic.ts';
import type { IoRole } from '../../ir/facts.ts';
import type { StepInput } from '../../ir/program.ts';
import { type DType, isFloat } from '../../ir/types.ts';
import type { Plan, PlanStage } from '../../plan/types.ts';
import { hostGraphs } from '../../plan/host.ts';
import { roundTo } from '../../tensor/pack.ts';
import { type Tensor, tensor } from '../../tensor/tensor.ts';
import { evaluate } from '../reference.ts';
import { spread } from './geometry.ts';
import { loadWeight } from './load.ts';
import { loadMask, loadPasts, takePresents } from './caches.ts';
import { type Observe, put, runStage, type StageTiles, take, type Workspace, workspaceOf } from './region.ts';

export interface CallOptions {
  /**
   * Keep what earlier calls left in the caches: so many positions are resident, no past is fed, and only the tokens
   * after them are run. A model without past inputs is fed the whole sequence: its host numbers tokens from 0.
   */
  readonly resident?: number;
  /** Leave present keys and values on the cores instead of returning them. */
  readonly keepPresents?: boolean;
  readonly observe?: Observe;
}

/** A part of the model that the host runs. */
export interface HostProgram {
  /** What it is fed, with the types the model gives it. */
  readonly inputs: readonly { readonly name: string; readonly dtype: DType }[];
  run(feeds: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor>;
}

/** What the host computes before the wafer, and after it. */
export interface Host {
  readonly before: HostProgram;
  readonly after: HostProgram;
}

/** What of a plan is run. The host's part is that of plan.json, or a program of its own. */
export type PlacedPlan = Pick<Plan, 'mode' | 'inputs' | 'outputs' | 'templates' | 'stages'> & {
  readonly host: Plan['host'] | Host;
};

export class PlacedModel {
  readonly plan: PlacedPlan;
  private readonly host: Host;
  readonly stages: readonly StageTiles[];

  /** Reads all tiles. Throws Diagnosed `plan/..` when weights.bin and plan.json disagree. */
  constructor(plan: PlacedPlan, directory: string) {
    this.plan = plan;
    const fd = openSync(join(directory, 'weights.bin'), 'r');
    try {
      this.host = 'constants' in plan.host ? hostOf(plan.host, fd) : plan.host;
      const workspaces = plan.templates.map(({ program }) => workspaceOf(program));
      this.stages = plan.stages.map((stage) => this.tilesOf(stage, workspaces[stage.template], fd));
    } finally {
      closeSync(fd);
    }
  }

  private tilesOf(stage: PlanStage, workspace: Workspace, fd: number): StageTiles {
    const { program, cores } = workspace;
    const weights = new Map(
      program.weights.map((t, i) => [t, loadWeight(fd, stage.weights[i], program.tensors[t], cores)]),
    );
    const states = Array.from({ length: this.plan.mode.batch }, () => {
      const indices = [...program.tensors.keys()].filter((t) => program.tensors[t].role === 'state');
      return new Map(indices.map((t) => [t, spread(cores, program.tensors[t])]));
    });
    return { name: stage.name, workspace, weights, states };
  }

  /**
   * Runs the model on `feeds` (by input name; pasts may be left out with `resident`).
   * @throws Diagnosed when feeds disagree with the plan, or the sequence outgrows the context.
   */
  call(feeds: ReadonlyMap<string, Tensor>, options: CallOptions = {}): Map<string, Tensor> {
    const { batch, sequence, past, skip } = this.lengths(feeds, options);
    const fed = new Map(feeds);
    for (const io of this.plan.inputs) {
      // The host only asks a past for its shape.
      if (io.role.kind === 'past' && !fed.has(io.name)) {
        const shape = io.shape.map((d, i) => (typeof d === 'number' ? d : i === 2 ? past : batch));
        fed.set(io.name, { dtype: io.dtype, shape, data: new Float32Array(0) });
      }
    }
    const host = this.host.before.run(fed);
    const results = new Map<string, Tensor>();
    for (let b = 0; b < batch; b++) {
      if (options.resident === undefined) loadPasts(this, feeds, b, past);
      loadMask(this, host, b, past);
      this.runSequence({ b, batch, sequence, past, skip }, host, results, options.observe);
    }
    if (!options.keepPresents) takePresents(this, batch, past + sequence, results);
    return this.outputs(results, fed, options);
  }

  /** Tokens and positions of a call. @throws Diagnosed when the plan has no room for them. */
  lengths(feeds: ReadonlyMap<string, Tensor>, { resident }: CallOptions = {}): Lengths {
    const { mode } = this.plan;
    const tokens = this.plan.inputs.find(({ role, shape }) => role.kind === 'tokens' || isFeatures(role, shape));
    const ids = tokens && feeds.get(tokens.name);
    if (tokens !== undefined && ids === undefined)
      fail({ code: 'exec/missing', message: `expected tokens for input ${tokens.name}, found none` });
    // An image has no length of its own: the plan has it.
    const [batch, given] = ids?.shape ?? [mode.batch, mode.context];
    const pastIo = this.plan.inputs.find(({ role }) => role.kind === 'past');
    const skip = pastIo === undefined ? (resident ?? 0) : 0;
    const sequence = given - skip;
    if (sequence < 1)
      fail({
        code: 'exec/context',
        message: `expected more than ${skip} tokens, found ${given}`,
        notes: ['a model without past inputs is given the whole sequence, resident positions included'],
      });
    const past = resident ?? (pastIo ? (feeds.get(pastIo.name)?.shape[2] ?? 0) : 0);
    if (batch !== mode.batch)
      fail({
        code: 'exec/batch',
        message: `expected batch ${mode.batch}, found ${batch}`,
        notes: ['the batch is bound when the plan is compiled (--batch)'],
      });
    if (past + sequence > mode.context) {
      fail({
        code: 'exec/context',
        message: `${past} past and ${sequence} new positions exceed the context of ${mode.context}`,
        notes: ['compile with a larger --context'],
      });
    }
    if (mode.kind === 'whole' && sequence !== mode.context) {
      fail({
        code: 'exec/context',
        message: `expected ${mode.context} tokens, found ${sequence}`,
        notes: ['this plan takes whole sequences; pad the ids and mask the padding'],
      });
    }
    return { batch, sequence, past, skip };
  }

  private runSequence(
    { b, batch, sequence, past, skip }: Lengths & { readonly b: number },
    host: ReadonlyMap<string, Tensor>,
    results: Map<string, Tensor>,
    observe?: Observe,
  ): void {
    const whole = this.plan.mode.kind === 'whole';
    const step = whole ? sequence : 1;
    for (let t = 0; t < sequence; t += step) {
      const passing = new Map<string, Tensor>();
      for (const [i, tiles] of this.stages.entries()) {
        const { program, cores, tensors } = tiles.workspace;
        const stage = this.plan.stages[i];
        for (const [k, input] of program.inputs.entries()) {
          if (input === null) continue;
          const to = tensors[input.tensor];
          if (to === null) throw new Error(`stage ${stage.name}: input ${k} is not an input tensor`);
          const value =
            passing.get(stage.inputs[k])?.data ??
            hostRows(host.get(stage.inputs[k]), input.kind, { b, batch, t, step, past, skip }, stage.inputs[k]);
          put(cores, to, value);
        }
        runStage(tiles, b, { past: past + t, tokens: step }, observe);
        for (const [k, out] of program.outputs.entries()) {
          if (out === null) continue;
          const from = tensors[out];
          if (from === null) throw new Error(`stage ${stage.name}: output ${k} is not a result`);
          const value = take(cores, from);
          passing.set(stage.outputs[k], value);
          store(results, stage.outputs[k], value, { b, batch, t, rows: whole ? value.shape[0] : sequence });
        }
      }
    }
  }

  /** Wafer results and host values through the host's closing graph, in the model's names and shapes. */
  private outputs(
    results: ReadonlyMap<string, Tensor>,
    feeds: ReadonlyMap<string, Tensor>,
    { keepPresents }: CallOptions,
  ): Map<string, Tensor> {
    const wanted = this.plan.outputs.filter(({ role }) => !(keepPresents && role.kind === 'present'));
    const given = new Map<string, Tensor>();
    for (const { name, dtype } of this.host.after.inputs) {
      const value = results.get(name);
      const fed = value ? typed(value, dtype) : feeds.get(name);
      if (fed !== undefined) given.set(name, fed);
    }
    const after = this.host.after.run(given);
    return new Map(
      wanted.map(({ name, dtype }) => {
        const value = after.get(name) ?? results.get(name);
        if (value === undefined) throw new Error(`plan computes no output ${name}`);
        return [name, typed(value, dtype)];
      }),
    );
  }
}

/** Embeddings made elsewhere, fed in place of ids: [B, S, F] with an open S. */
const isFeatures = (role: IoRole, shape: readonly (number | string)[]): boolean =>
  role.kind === 'plain' && shape.length === 3 && typeof shape[1] === 'string';

/** The graphs of plan.json, on the reference executor. */
function hostOf(host: Plan['host'], fd: number): Host {
  const [before, after] = hostGraphs(host, fd).map((graph) => ({
    inputs: graph.inputs.map((v) => ({ name: graph.names[v], dtype: graph.types[v].dtype })),
    run(feeds: ReadonlyMap<string, Tensor>) {
      const values = evaluate(graph, graph.outputs, feeds);
      return new Map(graph.outputs.map((v, i) => [graph.names[v], values[i]]));
    },
  }));
  return { before, after };
}

/** What leaves the wafer is of the model's own float type. */
const typed = (value: Tensor, dtype: DType): Tensor =>
  value.dtype !== 'f32' || dtype === 'f32' || !isFloat(dtype)
    ? value
    : tensor(dtype, value.shape, roundTo(dtype, Float32Array.from(value.data)));

export interface Lengths {
  readonly batch: number;
  /** Tokens to run. */
  readonly sequence: number;
  readonly past: number;
  /** Tokens that are fed, but resident. */
  readonly skip: number;
}

interface Slot {
  readonly b: number;
  readonly batch: number;
  readonly t: number;
}

/** The part of a host value that belongs to sequence b and the step at t. */
function hostRows(
  value: Tensor | undefined,
  kind: StepInput['kind'],
  { b, batch, t, step, past, skip }: Slot & { step: number; past: number; skip: number },
  name: string,
): ArrayLike<number> {
  if (value === undefined) throw new Error(`host computes no value ${name}`);
  const { shape, data } = value;
  const own = shape[0] === 1 && batch > 1 ? 0 : b;
  const slice = (start: number, count: number): ArrayLike<number> =>
    Float64Array.from({ length: count }, (_, i) => data[start + i]);
  if (kind === 'mask') {
    const first = own * shape[1] + past + t;
    return Float64Array.from({ length: step }, (_, i) => (data[first + i] !== 0 ? 1 : 0));
  }
  const width = shape.length === 3 ? shape[2] : 1;
  const rows = shape[1];
  const from = rows === 1 ? 0 : skip + t;
  return slice((own * rows + from) * width, Math.min(step, rows) * width);
}

/** Collects step results into [B, rows, F]: the tokens of a call, or the one token that a whole sequence is boiled down to. */
function store(
  results: Map<string, Tensor>,
  name: string,
  value: Tensor,
  { b, batch, t, rows }: Slot & { rows: number },
): void {
  const width = value.shape[1];
  let whole = results.get(name);
  if (whole === undefined) {
    whole = tensor('f32', [batch, rows, width], new Float32Array(batch * rows * width));
    results.set(name, whole);
  }
  whole.data.set(value.data, (b * rows + t) * width);
}
