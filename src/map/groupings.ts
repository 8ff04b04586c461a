/** Ways to put consecutive stages into regions. */
import type { Stages } from '../ir/facts.ts';
import type { Held, Part } from './candidates.ts';

/** Stages of each region, in order. */
export type Grouping = readonly (readonly number[])[];

/** How the user wants stages in regions; 0 = as the search finds best. */
export interface Request {
  /** Regions of the whole model. */
  readonly regions: number;
  /** Equal stages in one region, at most. */
  readonly layersPerRegion: number;
}

/** Every grouping that `request` allows. At least one; the last is the one of fewest regions. */
export function groupingsOf({ stages }: Stages, { regions, layersPerRegion }: Request): Grouping[] {
  const templates = stages.map((s) => s.template);
  if (regions > 0) return [counted(templates, Math.min(regions, stages.length))];
  const longest = Math.max(...runsOf(templates).map((run) => run.length));
  if (layersPerRegion > 0) return [chunked(templates, Math.min(layersPerRegion, longest))];
  // Chunks that cut the longest run into the same number of regions are one grouping.
  const sizes = new Set(Array.from({ length: longest }, (_, i) => Math.ceil(longest / Math.ceil(longest / (i + 1)))));
  const chunks = [...sizes].map((k) => chunked(templates, k));
  return stages.length > 1 ? [...chunks, [stages.map((_, i) => i)]] : chunks;
}

/** Runs of equal templates, as stage indices. */
function runsOf(templates: readonly number[]): number[][] {
  const runs: number[][] = [];
  for (const [i, t] of templates.entries()) {
    if (i > 0 && templates[i - 1] === t) runs[runs.length - 1].push(i);
    else runs.push([i]);
  }
  return runs;
}

/** `list` in `parts` pieces, as even as possible. */
const evenly = (list: readonly number[], parts: number): number[][] =>
  Array.from({ length: parts }, (_, p) =>
    list.slice(Math.floor((p * list.length) / parts), Math.floor(((p + 1) * list.length) / parts)),
  );

/** Runs of equal templates in chunks of at most `k`. */
const chunked = (templates: readonly number[], k: number): number[][] =>
  runsOf(templates).flatMap((run) => evenly(run, Math.ceil(run.length / k)));

/** `count` regions: of equal templates each where there are enough of them, else even pieces of the whole chain. */
function counted(templates: readonly number[], count: number): number[][] {
  const runs = runsOf(templates);
  if (count < runs.length) return evenly([...templates.keys()], count);
  const parts = runs.map(() => 1);
  for (let left = count - runs.length; left > 0; left--) {
    const load = runs.map((run, i) => run.length / parts[i]);
    parts[load.indexOf(Math.max(...load))]++;
  }
  return runs.flatMap((run, i) => evenly(run, parts[i]));
}

/** The templates of a grouping that must share a shape, and what their regions hold. */
export function partsOf(grouping: Grouping, { stages, templates }: Stages): Part[] {
  const parent = templates.map((_, i) => i);
  const root = (t: number): number => (parent[t] === t ? t : root(parent[t]));
  for (const group of grouping)
    for (const s of group) parent[root(stages[s].template)] = root(stages[group[0]].template);
  const sets = new Map<number, number[]>();
  for (const t of parent.keys()) sets.set(root(t), [...(sets.get(root(t)) ?? []), t]);
  return [...sets].map(([set, members]) => {
    const groups = grouping.filter((g) => root(stages[g[0]].template) === set);
    const held = new Map(groups.map((g) => heldBy(g, stages)).map((h) => [[...h].join(';'), h]));
    return { templates: members, held: [...held.values()], regions: groups.length };
  });
}

/** Stages of each template in a group. */
export function heldBy(group: readonly number[], stages: Stages['stages']): Held {
  const counts = new Map<number, number>();
  for (const s of group) counts.set(stages[s].template, (counts.get(stages[s].template) ?? 0) + 1);
  return counts;
}
