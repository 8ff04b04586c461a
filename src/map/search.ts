/**
 * Which stages share a region, and what shape each region has. For every way to group consecutive layers, each
 * template takes the shape of least predicted cycles that fits the SRAM of its fullest core; where the regions do not all
 * fit the fabric, area is given a price until they do (a Lagrangian), and the cheapest grouping wins.
 */
import { costProgram } from '../cost/program.ts';
import type { IoRole, RunMode, Stages } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { RegionProgram, RegionShape } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { mapMemory, type MemoryMap } from '../place/memory.ts';
import { placeSerpentine } from '../place/serpentine.ts';
import { type MapOptions, mapStage, type StepSize } from './stage-mapper.ts';

export interface SearchInput {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly stages: Stages;
  readonly mode: RunMode;
  readonly target: Target;
  readonly options?: MapOptions;
}

/** A shape for a set of templates that share regions. */
interface Candidate {
  readonly shape: RegionShape;
  /** Cycles of one token through every stage of these templates. */
  readonly cycles: number;
}

export interface Found {
  readonly programs: readonly RegionProgram[];
  readonly groups: readonly (readonly number[])[];
  readonly cycles: number;
}

/** The closest arrangement when none fits. */
export interface NoFit {
  readonly reason: 'sram' | 'fabric';
  readonly closest: { readonly map: MemoryMap; readonly shape: RegionShape; readonly stages: readonly string[] };
}

export type SearchResult = { readonly found: Found } | { readonly noFit: NoFit };

interface Candidates {
  readonly candidates: readonly Candidate[];
  readonly noFit?: NoFit;
}

export class RegionSearch {
  private readonly input: SearchInput;
  private readonly size: StepSize;
  private readonly programs = new Map<string, RegionProgram>();
  private readonly costs = new Map<string, number>();
  private readonly found = new Map<string, Candidates>();

  constructor(input: SearchInput) {
    this.input = input;
    this.size = { tokens: input.mode.kind === 'whole' ? input.mode.context : 1, context: input.mode.context };
  }

  run(): SearchResult {
    let best: Found | undefined;
    let noFit: NoFit | undefined;
    for (const groups of this.groupings()) {
      const result = this.solve(groups);
      if ('found' in result) {
        if (best === undefined || result.found.cycles < best.cycles) best = result.found;
      } else noFit = result.noFit; // the last grouping is one region of all cores: the plain question of capacity
    }
    if (best) return { found: best };
    if (noFit) return { noFit };
    throw new Error('a model without stages has nothing to place');
  }

  /** Every stage its own region; runs of equal stages in chunks of 2, 3, 4, 6, 8 ..; all stages in one region. */
  private groupings(): number[][][] {
    const { stages } = this.input.stages;
    const longest = longestRun(stages.map((s) => s.template));
    const chunks = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80].filter((k) => k <= longest);
    if (!chunks.includes(longest)) chunks.push(longest);
    const all = [stages.map((_, i) => i)];
    return [
      ...chunks.map((k) =>
        chunked(
          stages.map((s) => s.template),
          k,
        ),
      ),
      ...(stages.length > 1 ? [all] : []),
    ];
  }

  private solve(groups: readonly (readonly number[])[]): SearchResult {
    const { stages, templates } = this.input.stages;
    const { target } = this.input;
    const parts = this.components(groups);
    const choices: (readonly Candidate[])[] = [];
    let closest: NoFit | undefined;
    for (const part of parts) {
      const { candidates, noFit } = this.candidates(part, groups);
      if (candidates.length === 0) return { noFit: noFit as NoFit };
      closest ??= noFit;
      choices.push(candidates);
    }
    const partOf = (g: readonly number[]): number => parts.findIndex((p) => p.includes(stages[g[0]].template));
    const regionsOf = parts.map((_, p) => groups.filter((g) => partOf(g) === p).length);
    const shapeOf =
      (picks: readonly Candidate[]) =>
      (g: readonly number[]): RegionShape =>
        picks[partOf(g)].shape;
    for (const price of PRICES) {
      const score = (c: Candidate, p: number): number => c.cycles + price * area(c.shape) * regionsOf[p];
      // The best alone may not pack where a near one does: a few of each are tried together.
      const near = choices.map((list, p) =>
        [...list].sort((x, y) => score(x, p) - score(y, p)).slice(0, TRIED_TOGETHER),
      );
      for (const picks of combinations(near, score)) {
        const sizes = groups.map(shapeOf(picks));
        if (sizes.reduce((n, s) => n + area(s), 0) > target.width * target.height) continue;
        if (!placeSerpentine(sizes, target).fits) continue;
        const programs = templates.map((_, t) => this.program(t, picks[parts.findIndex((p) => p.includes(t))].shape));
        return { found: { programs, groups, cycles: picks.reduce((n, c) => n + c.cycles, 0) } };
      }
    }
    const smallest = choices.map((list) => cheapest(list, (c) => area(c.shape)));
    const p = smallest.findIndex((c) => area(c.shape) === Math.max(...smallest.map((s) => area(s.shape))));
    return { noFit: { reason: 'fabric', closest: this.describe(parts[p], smallest[p].shape, groups) } };
  }

  /** Templates that meet in one region must have one shape: connected sets of templates. */
  private components(groups: readonly (readonly number[])[]): number[][] {
    const { stages, templates } = this.input.stages;
    const parent = templates.map((_, i) => i);
    const root = (t: number): number => (parent[t] === t ? t : root(parent[t]));
    for (const group of groups)
      for (const s of group) parent[root(stages[s].template)] = root(stages[group[0]].template);
    const sets = new Map<number, number[]>();
    for (const t of parent.keys()) sets.set(root(t), [...(sets.get(root(t)) ?? []), t]);
    return [...sets.values()];
  }

  /** Shapes that fit, with their cycles; the one that comes closest where none does. */
  private candidates(part: readonly number[], groups: readonly (readonly number[])[]): Candidates {
    const { stages } = this.input.stages;
    // What a region holds decides, not where: most groupings hold the embedding and the head in the same way.
    const held = groups
      .filter((g) => part.includes(stages[g[0]].template))
      .map((g) => g.map((s) => stages[s].template).join());
    const key = `${part}/${[...new Set(held)].join(';')}`;
    const known = this.found.get(key);
    if (known !== undefined) return known;
    const candidates: Candidate[] = [];
    let closest: NoFit['closest'] | undefined;
    for (const shape of this.shapes(part)) {
      const found = this.describe(part, shape, groups);
      if (closest === undefined || found.map.peakBytes < closest.map.peakBytes) closest = found;
      if (found.map.peakBytes > this.input.target.sramBytes) continue;
      const cycles = stages.reduce((n, s) => n + (part.includes(s.template) ? this.cost(s.template, shape) : 0), 0);
      candidates.push({ shape, cycles });
    }
    const result: Candidates = { candidates, ...(closest ? { noFit: { reason: 'sram', closest } } : {}) };
    this.found.set(key, result);
    return result;
  }

  /** SRAM map of the region, among those that hold templates of `part`, that needs most. */
  private describe(
    part: readonly number[],
    shape: RegionShape,
    groups: readonly (readonly number[])[],
  ): NoFit['closest'] {
    const { stages } = this.input.stages;
    let worst: NoFit['closest'] | undefined;
    const seen = new Set<string>();
    for (const group of groups) {
      if (!part.includes(stages[group[0]].template)) continue;
      const counts = new Map<number, number>();
      for (const s of group) counts.set(stages[s].template, (counts.get(stages[s].template) ?? 0) + 1);
      const key = [...counts].join(';');
      if (seen.has(key)) continue;
      seen.add(key);
      const held = [...counts].map(([t, n]) => ({ program: this.program(t, shape), stageCount: n }));
      const map = mapMemory(held, this.input.mode.batch, this.input.target);
      if (worst === undefined || map.peakBytes > worst.map.peakBytes)
        worst = { map, shape, stages: group.map((s) => stages[s].name) };
    }
    if (worst === undefined) throw new Error('templates without regions');
    return worst;
  }

  /** A program names axes, not sizes: regions with the same head groups have the same ops and layouts. */
  program(template: number, shape: RegionShape): RegionProgram {
    const key = `${template}/${shape.groups}`;
    let program = this.programs.get(key);
    if (program === undefined) {
      const { graph, roles, stages } = this.input;
      const exemplar = stages.stages[stages.templates[template].exemplar];
      program = mapStage(graph, roles, exemplar, shape, this.size, this.input.options);
      this.programs.set(key, program);
    }
    return { ...program, shape };
  }

  private cost(template: number, shape: RegionShape): number {
    const key = `${template}/${shape.width}x${shape.height}/${shape.groups}`;
    let cycles = this.costs.get(key);
    if (cycles === undefined) {
      cycles = costProgram(this.program(template, shape), this.input.target).reduce((n, c) => n + c.cycles, 0);
      this.costs.set(key, cycles);
    }
    return cycles;
  }

  /** Sides up to the fabric's, not more than 5:1, columns a multiple of head groups where there is attention. */
  private shapes(part: readonly number[]): RegionShape[] {
    const { width, height } = this.input.target;
    const heads = this.headGroups(part);
    const shapes: RegionShape[] = [];
    const reach = this.reach(part);
    for (const w of SIDES.filter((s) => s <= Math.min(width, reach)).concat(
      SIDES.includes(width) || width > reach ? [] : [width],
    )) {
      for (const h of SIDES.filter((s) => s <= Math.min(height, reach)).concat(
        SIDES.includes(height) || height > reach ? [] : [height],
      )) {
        if (w > 5 * h || h > 5 * w) continue;
        const groups = heads.find((g) => w % g === 0) ?? 1;
        shapes.push({ width: w, height: h, groups });
      }
    }
    return shapes;
  }

  /** Divisors of the number of KV heads, largest first. */
  private headGroups(part: readonly number[]): number[] {
    const { graph, stages } = this.input;
    const counts = part.flatMap((t) =>
      stages.stages[stages.templates[t].exemplar].ops.flatMap((at) =>
        graph.ops[at].kind === 'wafc.attention' ? [graph.ops[at].attrs.kvHeads as number] : [],
      ),
    );
    const common = counts.reduce((a, b) => gcd(a, b), counts[0] ?? 1);
    return Array.from({ length: common }, (_, i) => common - i).filter((g) => common % g === 0);
  }

  /** Beyond the widest dim a side only adds hops. */
  private reach(part: readonly number[]): number {
    const { graph, stages } = this.input;
    const dims = part.flatMap((t) =>
      stages.stages[stages.templates[t].exemplar].weights.flatMap((v) => graph.constants.get(v)?.shape ?? []),
    );
    return Math.max(2, ...dims);
  }
}

/** Sides tried: dense where regions are small, then steps of about a fifth; several multiples of 8 that divide 750 columns well. */
const SIDES = [
  1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 40, 48, 64, 80, 96, 120, 128, 144, 160, 184, 208, 248, 288, 320,
  360, 420, 480, 512, 576, 640, 750, 896, 1160,
];
/** Cycles per core of area; 0 first: area costs nothing while there is enough. */
const PRICES = [0, ...Array.from({ length: 40 }, (_, i) => 1e-4 * 1.6 ** i)];

/** Shapes of each part that are tried in all combinations. */
const TRIED_TOGETHER = 6;

/** One pick of each list, best sum first. */
function combinations(
  lists: readonly (readonly Candidate[])[],
  score: (c: Candidate, list: number) => number,
): Candidate[][] {
  let all: Candidate[][] = [[]];
  for (const list of lists) all = all.flatMap((head) => list.map((c) => [...head, c]));
  const sum = (picks: readonly Candidate[]): number => picks.reduce((n, c, i) => n + score(c, i), 0);
  return all
    .map((picks) => ({ picks, sum: sum(picks) }))
    .sort((x, y) => x.sum - y.sum)
    .map(({ picks }) => picks);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const area = ({ width, height }: RegionShape): number => width * height;

function cheapest(list: readonly Candidate[], cost: (c: Candidate) => number): Candidate {
  return list.reduce((best, c) => (cost(c) < cost(best) ? c : best));
}

function longestRun(templates: readonly number[]): number {
  let longest = 0;
  let run = 0;
  for (const [i, t] of templates.entries()) {
    run = i > 0 && templates[i - 1] === t ? run + 1 : 1;
    longest = Math.max(longest, run);
  }
  return longest;
}

/** Runs of equal templates in chunks of `k`, as even as possible. */
function chunked(templates: readonly number[], k: number): number[][] {
  const groups: number[][] = [];
  for (let i = 0; i < templates.length; ) {
    let end = i;
    while (end < templates.length && templates[end] === templates[i]) end++;
    const chunks = Math.ceil((end - i) / k);
    for (let c = 0; c < chunks; c++) {
      const from = i + Math.floor((c * (end - i)) / chunks);
      const to = i + Math.floor(((c + 1) * (end - i)) / chunks);
      groups.push(Array.from({ length: to - from }, (_, j) => from + j));
    }
    i = end;
  }
  return groups;
}
