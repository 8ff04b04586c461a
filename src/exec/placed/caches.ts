/** Keys, values and mask entries between the model's own inputs and outputs and the cores that hold them. */
import { fail } from '../../diag/diagnostic.ts';
import { codeOf } from './codes.ts';
import type { PlacedPlan } from './model.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import { featureAt } from './geometry.ts';
import { eachOwned, roundState, type StageTiles } from './region.ts';

export interface PlacedStages {
  readonly plan: PlacedPlan;
  readonly stages: readonly StageTiles[];
}

/** Past keys and values of the model's own inputs, [B, H, P, d], into the cores that own the positions. */
export function loadPasts(placed: PlacedStages, feeds: ReadonlyMap<string, Tensor>, b: number, past: number): void {
  eachCache(placed, ({ name, heads, width, tiles, state, scaleOf }) => {
    const fed = name.past === null ? undefined : feeds.get(name.past);
    if (fed === undefined && past > 0)
      fail({ code: 'exec/missing', message: `expected ${past} past positions for ${name.past}, found none` });
    const to = tiles.states[b].get(state);
    if (fed === undefined || to === undefined) return;
    for (let p = 0; p < past; p++) {
      eachOwned(tiles.workspace.cores, to, p, (at, start, n, core) => {
        for (let i = 0; i < n; i++) {
          const feature = featureAt(to, start + i);
          const h = Math.floor(feature / width);
          const x = fed.data[((b * heads + h) * past + p) * width + (feature % width)];
          to.data[at + i] = scaleOf === null ? x : codeOf(x, scaleOf(core, i));
        }
      });
    }
    roundState(to);
  });
}

/** Mask entries of past positions; those of this call arrive with their tokens. */
export function loadMask(placed: PlacedStages, host: ReadonlyMap<string, Tensor>, b: number, past: number): void {
  for (const [i, tiles] of placed.stages.entries()) {
    const { program, cores } = tiles.workspace;
    for (const [k, input] of program.inputs.entries()) {
      if (input?.kind !== 'mask') continue;
      const mask = host.get(placed.plan.stages[i].inputs[k]);
      const write = program.ops.find((op) => op.op === 'append' && op.x === input.tensor);
      const to = write?.op === 'append' ? tiles.states[b].get(write.state) : undefined;
      if (mask === undefined || to === undefined) continue;
      const total = mask.shape[1];
      for (let p = 0; p < past; p++)
        eachOwned(cores, to, p, (at) => to.data.fill(mask.data[b * total + p] !== 0 ? 1 : 0, at, at + 1));
    }
  }
}

export function takePresents(placed: PlacedStages, batch: number, length: number, results: Map<string, Tensor>): void {
  eachCache(placed, ({ name, heads, width, tiles, state, scaleOf }) => {
    if (name.present === null) return;
    const out = zeros('f32', [batch, heads, length, width]);
    for (let b = 0; b < batch; b++) {
      const from = tiles.states[b].get(state);
      if (from === undefined) continue;
      for (let p = 0; p < length; p++) {
        eachOwned(tiles.workspace.cores, from, p, (at, start, n, core) => {
          for (let i = 0; i < n; i++) {
            const feature = featureAt(from, start + i);
            const h = Math.floor(feature / width);
            const x = from.data[at + i];
            out.data[((b * heads + h) * length + p) * width + (feature % width)] =
              scaleOf === null ? x : x * scaleOf(core, i);
          }
        });
      }
    }
    results.set(name.present, out);
  });
}

/** One state of keys or values of a stage. */
interface HeldCache {
  readonly name: { readonly past: string | null; readonly present: string | null };
  readonly heads: number;
  readonly width: number;
  readonly tiles: StageTiles;
  readonly state: number;
  /** Of codes: the scale of the i-th feature that a core holds. */
  readonly scaleOf: ((core: number, i: number) => number) | null;
}

function eachCache(placed: PlacedStages, visit: (cache: HeldCache) => void): void {
  for (const [i, tiles] of placed.stages.entries()) {
    const stage = placed.plan.stages[i];
    for (const { heads, width, past, present, state, scales } of tiles.workspace.program.caches) {
      const name = {
        past: past < 0 ? null : stage.inputs[past],
        present: present < 0 ? null : stage.outputs[present],
      };
      const spread = scales === undefined ? undefined : tiles.weights.get(scales);
      const scaleOf =
        spread === undefined ? null : (core: number, at: number): number => spread.data[core * spread.stride + at];
      visit({ name, heads, width, tiles, state, scaleOf });
    }
  }
}
