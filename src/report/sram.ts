/** SRAM over the cores of a plan: how many cores are how full, and the longest context the same plan could hold. */
import { mapMemory } from '../place/memory.ts';
import type { Plan } from '../plan/types.ts';

/** Cores per tenth of the limit; the last bin is 90 % and more. Cores of a region count as full as its fullest. */
export type Histogram = readonly number[];

export function sramHistogram({ regions, memory, target }: Plan): Histogram {
  const bins = new Array<number>(10).fill(0);
  for (const [i, { width, height }] of regions.entries()) {
    const bin = Math.min(9, Math.floor((memory[i].peakBytes / target.sramBytes) * 10));
    bins[bin] += width * height;
  }
  return bins;
}

/** Nobody asks further: tables of fewer positions than this are already beyond any core. */
const LONGEST = 2 ** 30;

/** Largest context for which every region of the plan still fits as it is; null where there is no KV cache. */
export function maxContextOf(plan: Plan): number | null {
  const { templates, stages, regions, mode, target } = plan;
  if (templates.every(({ program }) => program.caches.length === 0) || mode.kind !== 'stream') return null;
  const fits = (context: number): boolean =>
    regions.every((region) => {
      const counts = new Map<number, number>();
      for (const s of region.stages) counts.set(stages[s].template, (counts.get(stages[s].template) ?? 0) + 1);
      const held = [...counts].map(([t, n]) => {
        const { program } = templates[t];
        const tensors = program.tensors.map((x) =>
          // What is dealt by positions: keys, values, masks, scores.
          x.layout.cyclic ? { ...x, shape: [context, ...x.shape.slice(1)] } : x,
        );
        return { program: { ...program, tensors }, stageCount: n };
      });
      return mapMemory(held, mode.batch, target).peakBytes <= target.sramBytes;
    });
  let low = mode.context;
  while (fits(low * 2)) {
    low *= 2;
    if (low >= LONGEST) return low;
  }
  // `low` fits, `high` does not.
  let high = low * 2;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
