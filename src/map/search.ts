/**
 * Which stages share a region, what shape each region has, and how many copies of the model a wafer holds.
 *
 * For latency: for every way to group consecutive layers each template takes the shape of least predicted cycles that
 * fits; where the regions do not all fit the fabric, area is given a price until they do (a Lagrangian). Among the
 * arrangements of fewest cycles (within 2 %) those with the least busy regions win, then the one of fewest cores. For throughput: the fabric is cut into equal blocks, one copy of the model each, and in
 * a block no region may take longer than a deadline; the least deadline per copy wins. When nothing fits, the answer is the
 * arrangement that would fit with the least more SRAM.
 */
import { joinedByStage } from '../cost/joined.ts';
import { sendsOf } from '../cost/step.ts';
import type { RegionProgram, RegionShape } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import type { MemoryMap } from '../place/memory.ts';
import { blockOf, type Copies, placeRegions, replicasOf } from '../place/regions.ts';
import type { Rect } from '../target/cores.ts';
import { type Candidate, Candidates, type Part, type SearchInput, type Site } from './candidates.ts';
import { type Grouping, groupingsOf, heldBy, partsOf, type Request } from './groupings.ts';

export type { SearchInput } from './candidates.ts';

export type Objective = 'latency' | 'throughput';

export interface SearchGoal extends Request {
  readonly objective: Objective;
  /** Zeros are stored like other values, and never counted. */
  readonly dense?: boolean;
}

export interface Found {
  readonly programs: readonly RegionProgram[];
  readonly groups: Grouping;
  readonly copies: Copies;
}

/** The closest arrangement when none fits: its fullest region. */
export interface NoFit {
  readonly reason: 'sram' | 'fabric';
  readonly closest: { readonly map: MemoryMap; readonly shape: RegionShape; readonly stages: readonly string[] };
}

export type SearchResult = { readonly found: Found } | { readonly noFit: NoFit };

/** Regions that are where they are. */
interface Arrangement {
  readonly grouping: Grouping;
  readonly parts: readonly Part[];
  /** By part. */
  readonly picks: readonly Candidate[];
  readonly regions: readonly Rect[];
}

/** An arrangement, and by what it is chosen. */
interface Timed {
  readonly arrangement: Arrangement;
  /** Of a step; of its busiest region. */
  readonly cycles: number;
  readonly busiest: number;
  readonly cores: number;
}

const ONE: Copies = { columns: 1, rows: 1 };
/** Any regions, least latency. */
export const LATENCY: SearchGoal = { objective: 'latency', regions: 0, layersPerRegion: 0 };

export class RegionSearch {
  private readonly input: SearchInput;
  private readonly candidates: Candidates;
  private readonly goal: SearchGoal;
  private readonly groupings: readonly Grouping[];

  constructor(input: SearchInput, goal: SearchGoal = LATENCY) {
    this.input = input;
    this.goal = goal;
    this.candidates = new Candidates(input);
    if (input.stages.stages.length === 0) throw new Error('a model without stages has nothing to place');
    this.groupings = groupingsOf(input.stages, goal);
  }

  run(): SearchResult {
    const found = this.goal.objective === 'latency' ? this.fastest() : this.mostTokens();
    if (found !== undefined) return { found };
    const closest = this.closest();
    const squeezed = this.squeezed(closest);
    return squeezed === undefined ? { noFit: this.explained(closest) } : { found: squeezed };
  }

  /** Nothing that strategies give fits: the programs of least SRAM, where that is not far. */
  private squeezed(closest: Arrangement | undefined): Found | undefined {
    if (closest === undefined || this.need(closest) > SQUEEZABLE * this.input.target.sramBytes) return undefined;
    const { grouping, parts, picks } = closest;
    const programs = this.candidates.squeezed(parts, siteIn(parts, picks));
    return programs && { programs, groups: grouping, copies: ONE };
  }

  private fastest(): Found | undefined {
    let found: Timed[] = [];
    for (const grouping of this.groupings)
      for (const arrangement of this.arrangements(grouping, PRICES)) {
        const cycles = this.stepCycles(arrangement);
        if (found.length > 0 && cycles > Math.min(...found.map((f) => f.cycles)) * NO_DIFFERENCE) break;
        const { parts, picks } = arrangement;
        const busiest = picks.reduce((n, c) => Math.max(n, c.busiest), 0);
        const cores = picks.reduce((n, c, p) => n + c.cores * parts[p].regions, 0);
        found.push({ arrangement, cycles, busiest, cores });
      }
    for (const by of ['cycles', 'busiest', 'cores'] as const) {
      const least = found.reduce((n, f) => Math.min(n, f[by]), Number.POSITIVE_INFINITY);
      found = found.filter((f) => f[by] <= least * NO_DIFFERENCE);
    }
    const [best] = found.sort((a, b) => a.cores - b.cores || a.cycles - b.cycles);
    return best && this.found(best.arrangement, ONE);
  }

  /** The stages' own cycles and those of the sends between regions. */
  private stepCycles({ grouping, parts, picks, regions }: Arrangement): number {
    const { stages, target } = this.input;
    const programs = this.programs(parts, picks);
    const sends = sendsOf({ stages, programs, groups: grouping, regions }, target);
    const joined = joinedByStage(stages.stages, grouping, programs, target).reduce((a, b) => a + b, 0);
    return [...picks, ...sends].reduce((n, { cycles }) => n + cycles, -joined);
  }

  private programs(parts: readonly Part[], picks: readonly Candidate[]): RegionProgram[] {
    return this.input.stages.templates.map((_, t) =>
      this.candidates.program(t, picks[parts.findIndex((p) => p.templates.includes(t))].shape),
    );
  }

  private found({ grouping, parts, picks }: Arrangement, copies: Copies): Found {
    return { programs: this.candidates.refined(parts, siteIn(parts, picks)), groups: grouping, copies };
  }

  /** The cheapest regions that find a place, at the first price of area at which some do. */
  private arrange(grouping: Grouping, prices: readonly number[], limit: number): Arrangement | undefined {
    const [first] = this.arrangements(grouping, prices, limit);
    return first;
  }

  /** The cheapest regions that find a place, at one price of area after the other. */
  private *arrangements(
    grouping: Grouping,
    prices: readonly number[],
    limit = this.input.target.sramBytes,
  ): Generator<Arrangement> {
    const { target } = this.input;
    const parts = partsOf(grouping, this.input.stages);
    // What cannot be is not costed.
    const least = parts.reduce((n, part) => n + part.regions * this.candidates.leastCores(part, limit, target), 0);
    if (least > target.width * target.height) return;
    const fronts = parts.map((part) => this.candidates.front(part, limit, target));
    if (fronts.some((front) => front.length === 0)) return;
    const tried = new Set<string>();
    let last = '';
    for (const price of prices) {
      const score = (c: Candidate, p: number): number =>
        c.cycles + price * coresOf(c, parts[p].regions, target) * parts[p].regions;
      // The best alone may not pack where a near one does: a few of each are tried together.
      const near = fronts.map((list, p) =>
        [...list].sort((x, y) => score(x, p) - score(y, p)).slice(0, TRIED_TOGETHER),
      );
      for (const picks of combinations(near, score)) {
        const key = picks.map(({ shape }) => `${shape.width}x${shape.height}`).join();
        if (key === last) break;
        if (tried.has(key)) continue;
        tried.add(key);
        const regions = this.place(grouping, parts, picks, target);
        if (regions === undefined) continue;
        last = key;
        yield { grouping, parts, picks, regions };
        break;
      }
    }
  }

  private place(
    grouping: Grouping,
    parts: readonly Part[],
    picks: readonly Candidate[],
    fabric: Target,
  ): readonly Rect[] | undefined {
    const { stages } = this.input.stages;
    const sizes = grouping.map((g) => picks[parts.findIndex((p) => p.templates.includes(stages[g[0]].template))].shape);
    return placeRegions(sizes, fabric);
  }

  /** Copies of the model in equal blocks of the fabric: most tokens per cycle over all of them. */
  private mostTokens(): Found | undefined {
    const { target } = this.input;
    const plans = this.groupings.flatMap((grouping) => this.deadlines(grouping));
    const options = plans.flatMap((plan) =>
      blocks(target).flatMap(({ copies, width, height }) => {
        const area = width * height;
        const first = plan.steps.find(
          ({ cores, picks }) =>
            cores <= area && picks.every(({ shape }) => shape.width <= width && shape.height <= height),
        );
        return first === undefined ? [] : [{ plan, copies, rate: (copies.columns * copies.rows) / first.deadline }];
      }),
    );
    options.sort((a, b) => b.rate - a.rate);
    let best: { readonly found: Found; readonly rate: number } | undefined;
    for (const { plan, copies, rate } of options.slice(0, MOST_PACKED)) {
      // `rate` takes the packing to be perfect: what comes after cannot be better.
      if (best !== undefined && rate <= best.rate) break;
      const block = blockOf(target, copies);
      for (const { deadline, cores, picks } of plan.steps) {
        if (cores > block.width * block.height) continue;
        const regions = this.place(plan.grouping, plan.parts, picks, block);
        if (regions === undefined) continue;
        const actual = (1 + replicasOf(regions, target, copies).length) / deadline;
        if (best === undefined || actual > best.rate)
          best = { found: this.found({ ...plan, picks, regions }, copies), rate: actual };
        break;
      }
    }
    return best?.found;
  }

  /** The smallest regions that keep each deadline, tightest first. */
  private deadlines(grouping: Grouping): {
    readonly grouping: Grouping;
    readonly parts: readonly Part[];
    readonly steps: readonly {
      readonly deadline: number;
      readonly cores: number;
      readonly picks: readonly Candidate[];
    }[];
  }[] {
    const { target, stages } = this.input;
    const parts = partsOf(grouping, stages);
    const fronts = parts.map((part) => this.candidates.front(part, target.sramBytes, target));
    if (fronts.some((front) => front.length === 0)) return [];
    const slowest = fronts.reduce((n, front) => Math.max(n, front[front.length - 1].busiest), 0);
    const steps = [];
    let before = 0;
    for (let deadline = fronts.reduce((n, front) => Math.max(n, front[0].busiest), 0); ; deadline *= DEADLINE_STEP) {
      // A front runs from fast and large to slow and small.
      const picks = fronts.map((front) => front.findLast((c) => c.busiest <= deadline) ?? front[0]);
      const cores = picks.reduce((n, c, p) => n + c.cores * parts[p].regions, 0);
      const kept = picks.reduce((n, c) => Math.max(n, c.busiest), 0);
      if (cores !== before) steps.push({ deadline: kept, cores, picks });
      before = cores;
      if (deadline >= slowest) return [{ grouping, parts, steps }];
    }
  }

  /** Of all arrangements that the fabric has room for, the one whose fullest core needs least. */
  private closest(): Arrangement | undefined {
    let best: { readonly arrangement: Arrangement; readonly need: number } | undefined;
    for (const grouping of this.groupings) {
      let low = this.input.target.sramBytes;
      let high = best === undefined ? low * 2 : best.need - 1;
      let arrangement = this.arrange(grouping, SMALLEST, high);
      for (; best === undefined && arrangement === undefined && high < MOST_BYTES; low = high, high *= 2)
        arrangement = this.arrange(grouping, SMALLEST, high * 2);
      if (arrangement === undefined) continue;
      best = { arrangement, need: this.need(arrangement) };
      while (best.need - low > low / 256) {
        const middle = Math.floor((low + best.need) / 2);
        const tighter = this.arrange(grouping, SMALLEST, middle);
        if (tighter === undefined) low = middle;
        else best = { arrangement: tighter, need: this.need(tighter) };
      }
    }
    return best?.arrangement;
  }

  private explained(closest: Arrangement | undefined): NoFit {
    const { stages } = this.input.stages;
    if (closest !== undefined) {
      const { grouping, parts, picks } = closest;
      return { reason: 'sram', closest: this.fullest(grouping, parts, picks) };
    }
    // Only regions that were asked for can be too many for the fabric.
    const grouping = this.groupings[0];
    const shape = { width: 1, height: 1, groups: 1, level: 0 };
    const map = this.candidates.memory(heldBy(grouping[0], stages), shape);
    return { reason: 'fabric', closest: { map, shape, stages: grouping[0].map((s) => stages[s].name) } };
  }

  private need({ parts, picks }: Arrangement): number {
    return parts.reduce((n, part, p) => Math.max(n, this.candidates.peak(part, picks[p].shape)), 0);
  }

  private fullest(grouping: Grouping, parts: readonly Part[], picks: readonly Candidate[]): NoFit['closest'] {
    const { stages } = this.input.stages;
    const regions = grouping.map((group) => {
      const { shape } = picks[parts.findIndex((p) => p.templates.includes(stages[group[0]].template))];
      return {
        map: this.candidates.memory(heldBy(group, stages), shape),
        shape,
        stages: group.map((s) => stages[s].name),
      };
    });
    return regions.reduce((a, b) => (b.map.peakBytes > a.map.peakBytes ? b : a));
  }
}

/** Cycles per core of area; 0 first: area costs nothing while there is enough. */
const PRICES = [0, ...Array.from({ length: 40 }, (_, i) => 1e-4 * 1.6 ** i)];
/**
 * So small a difference in latency decides nothing (the estimate is known to 5 %): prompts and further sequences do,
 * which move at the pace of the busiest region, and then the number of cores that are kept busy.
 */
const NO_DIFFERENCE = 1.02;
/** Only area counts. */
const SMALLEST = [1e12];
/** Shapes of each part that are tried in all combinations. */
const TRIED_TOGETHER = 6;
const DEADLINE_STEP = 1.03;
/** Copies and groupings that are packed in earnest. */
const MOST_PACKED = 64;
const MOST_BLOCKS = 64;
const MOST_BYTES = 2 ** 40;
/** Assumed: other layouts save no more of the fullest core than this. */
const SQUEEZABLE = 1.1;

/** The site of a template. */
const siteIn =
  (parts: readonly Part[], picks: readonly Candidate[]) =>
  (t: number): Site =>
    picks[parts.findIndex((p) => p.templates.includes(t))].shape;

/** Cores that a region takes of the fabric when many like it stand side by side: what a shelf of them cannot use counts. */
function coresOf({ shape, cores }: Candidate, regions: number, { width, height }: Target): number {
  if (regions === 1) return cores;
  const across = (shape.height * width) / Math.max(1, Math.floor(width / shape.width));
  const down = (shape.width * height) / Math.max(1, Math.floor(height / shape.height));
  return Math.min(across, down);
}

/** Ways to cut the fabric into equal blocks that are not more than twice as oblong as it is. */
function blocks(fabric: Target): { readonly copies: Copies; readonly width: number; readonly height: number }[] {
  const found = [];
  for (let columns = 1; columns <= Math.min(MOST_BLOCKS, fabric.width); columns++)
    for (let rows = 1; rows <= Math.min(MOST_BLOCKS, fabric.height); rows++) {
      if (columns > 2 * rows || rows > 2 * columns) continue;
      const { width, height } = blockOf(fabric, { columns, rows });
      found.push({ copies: { columns, rows }, width, height });
    }
  return found;
}

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
