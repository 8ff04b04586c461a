/**
 * Shapes of regions, priced: cycles and SRAM of every template on every shape worth trying. What a region holds of a
 * template grows with its stages by the same bytes each, so a shape is priced once for all groupings.
 */
import { tileBytes } from '../cost/tile.ts';
import { elementCount } from '../ir/constant.ts';
import type { IoRole, RunMode, Stages } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { RegionProgram, RegionShape } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { alignUp } from '../place/intervals.ts';
import { mapMemory, type MemoryMap, strideOf } from '../place/memory.ts';
import { sidesOf } from './sides.ts';
import { StagePlanner, type Variant } from './planner.ts';
import { ALL_REWRITES, type MapOptions } from './rewrites.ts';
import type { Densities } from './stage-context.ts';

export interface SearchInput {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly stages: Stages;
  readonly mode: RunMode;
  readonly target: Target;
  readonly options?: MapOptions;
  /** Of weights full of zeros. */
  readonly densities?: Densities;
}

/** How many stages of each template a region holds: template -> stages. */
export type Held = ReadonlyMap<number, number>;

/** Templates that meet in one region share a shape; `held`: what their regions hold, each way once. */
export interface Part {
  readonly templates: readonly number[];
  readonly held: readonly Held[];
  /** Regions of this part. */
  readonly regions: number;
}

/** A shape, and which of the programs for it: 0 is the fastest, higher levels need less SRAM. */
export interface Site extends RegionShape {
  readonly level: number;
}

export interface Candidate {
  readonly shape: Site;
  readonly cores: number;
  /** Cycles of one step through every stage of the part's templates. */
  readonly cycles: number;
  /** Cycles of one step through the stages of the part's busiest region. */
  readonly busiest: number;
}

interface Sized {
  readonly shape: Site;
  /** Bytes that one stage keeps, by template of the part. */
  readonly resident: readonly number[];
}

/** Sides are at most this much apart. */
const MOST_OBLONG = 16;

export class Candidates {
  private readonly input: SearchInput;
  private readonly planner: StagePlanner;
  private readonly sizes = new Map<string, readonly Sized[]>();
  private readonly scratch = new Map<string, number>();
  private readonly fronts = new Map<string, readonly Candidate[]>();

  constructor(input: SearchInput) {
    this.input = input;
    this.planner = new StagePlanner({ ...input, options: input.options ?? ALL_REWRITES });
  }

  program(template: number, site: Site): RegionProgram {
    return this.variant(template, site).program;
  }

  private variant(template: number, site: Site): Variant {
    const variants = this.planner.variants(template, site);
    return variants[Math.min(site.level, variants.length - 1)];
  }

  /** The programs of chosen sites, each searched in full on its shape: what is faster and still fits. */
  refined(parts: readonly Part[], siteOf: (template: number) => Site): RegionProgram[] {
    const { stages } = this.input;
    const variants = stages.templates.map((_, t) => this.variant(t, siteOf(t)));
    const programs = variants.map(({ program }) => program);
    const fits = (list: readonly RegionProgram[]): boolean => this.fits(parts, list);
    for (const [t, variant] of variants.entries())
      programs[t] = this.planner.refined(t, variant, (p) => fits(programs.with(t, p))) ?? variant.program;
    return programs;
  }

  /** Programs of least SRAM on chosen sites, if they fit: where none of the strategies does. */
  squeezed(parts: readonly Part[], siteOf: (template: number) => Site): RegionProgram[] | undefined {
    const programs = this.input.stages.templates.map((_, t) =>
      this.planner.smallest(t, this.program(t, siteOf(t)).shape),
    );
    return this.fits(parts, programs) ? programs : undefined;
  }

  private fits(parts: readonly Part[], programs: readonly RegionProgram[]): boolean {
    const { mode, target } = this.input;
    const peak = (held: Held): number =>
      mapMemory(
        [...held].map(([t, stageCount]) => ({ program: programs[t], stageCount })),
        mode.batch,
        target,
      ).peakBytes;
    return parts.every((part) => part.held.every((held) => peak(held) <= target.sramBytes));
  }

  /**
   * Shapes on `fabric` whose fullest core needs at most `limit` bytes, and that no other one beats in cycles, width and
   * height; fastest first.
   */
  front(part: Part, limit: number, fabric: Pick<Target, 'width' | 'height'>): readonly Candidate[] {
    const held = part.held.map((h) => [...h].join(';')).join('|');
    const key = `${part.templates}/${held}/${limit}/${fabric.width}x${fabric.height}`;
    const known = this.fronts.get(key);
    if (known !== undefined) return known;
    const { stages } = this.input;
    const counts = part.templates.map((t) => stages.stages.filter((s) => s.template === t).length);
    const open = this.holding(part, limit, fabric)
      .map(({ shape }): Candidate => {
        const cycles = part.templates.map((t) => this.variant(t, shape).cycles);
        return {
          shape,
          cores: shape.width * shape.height,
          cycles: cycles.reduce((n, c, i) => n + c * counts[i], 0),
          busiest: mostHeld(part, cycles),
        };
      })
      .sort((a, b) => a.cycles - b.cycles || a.cores - b.cores);
    const front: Candidate[] = [];
    for (const candidate of open) {
      const { width, height } = candidate.shape;
      // One that is faster takes the same place only if it is no larger either way: where it fits, this one does not help.
      if (front.some(({ shape }) => shape.width <= width && shape.height <= height)) continue;
      if (this.peak(part, candidate.shape) <= limit) front.push(candidate);
    }
    this.fronts.set(key, front);
    return front;
  }

  /** No region of the part has fewer cores than this, whatever else it must hold. */
  leastCores(part: Part, limit: number, fabric: Pick<Target, 'width' | 'height'>): number {
    const shapes = this.holding(part, limit, fabric);
    return shapes.reduce((n, { shape }) => Math.min(n, shape.width * shape.height), Number.POSITIVE_INFINITY);
  }

  /** Shapes on which what the part's fullest region keeps is within `limit`. */
  private holding(part: Part, limit: number, fabric: Pick<Target, 'width' | 'height'>): Sized[] {
    const { reservedCodeBytes, reservedStackBytes } = this.input.target;
    const room = limit - reservedCodeBytes - reservedStackBytes;
    return this.sized(part, fabric).filter(({ resident }) => mostHeld(part, resident) <= room);
  }

  /** Bytes of the fullest core of the part's fullest region. */
  peak(part: Part, shape: Site): number {
    return part.held.reduce((n, h) => Math.max(n, this.peakOf(h, shape)), 0);
  }

  /** SRAM map of a region that holds `held`. */
  memory(held: Held, shape: Site): MemoryMap {
    const { mode, target } = this.input;
    const programs = [...held].map(([t, stageCount]) => ({ program: this.program(t, shape), stageCount }));
    return mapMemory(programs, mode.batch, target);
  }

  /** Stages of one template take turns in the same scratch, and each keeps the same bytes. */
  private peakOf(held: Held, shape: Site): number {
    if (held.size !== 1) return this.memory(held, shape).peakBytes;
    const [[template, count]] = held;
    const key = `${template}/${shape.width}x${shape.height}/${shape.level}`;
    let one = this.scratch.get(key);
    if (one === undefined) {
      one = this.memory(new Map([[template, 1]]), shape).peakBytes;
      this.scratch.set(key, one);
    }
    return one + (count - 1) * this.resident(this.program(template, shape));
  }

  /** Bytes that a stage keeps on the fullest core, each buffer aligned, as mapMemory lays them. */
  private resident({ tensors, shape }: RegionProgram): number {
    const { mode, target } = this.input;
    let bytes = 0;
    for (const tensor of tensors) {
      if (tensor.role !== 'weight' && tensor.role !== 'state') continue;
      const own = tileBytes(tensor, shape);
      const held = tensor.role === 'state' ? alignUp(own, target.alignBytes) * mode.batch : own;
      bytes += alignUp(held, strideOf(target));
    }
    return bytes;
  }

  /** Every shape worth trying. */
  private sized({ templates }: Part, fabric: Pick<Target, 'width' | 'height'>): readonly Sized[] {
    const key = `${templates}/${fabric.width}x${fabric.height}`;
    const known = this.sizes.get(key);
    if (known !== undefined) return known;
    const found = this.shapes(templates, fabric).flatMap((shape): Sized[] => {
      const levels = templates.reduce((n, t) => Math.max(n, this.planner.variants(t, shape).length), 1);
      return Array.from({ length: levels }, (_, level) => {
        const site = { ...shape, level };
        return { shape: site, resident: templates.map((t) => this.resident(this.program(t, site))) };
      });
    });
    this.sizes.set(key, found);
    return found;
  }

  private shapes(templates: readonly number[], fabric: Pick<Target, 'width' | 'height'>): RegionShape[] {
    const heads = this.headGroups(templates);
    const [unit] = heads;
    const programs = templates.flatMap((t) => this.planner.strategies(t, unit));
    const { widths, heights } = sidesOf(programs, unit, fabric);
    const oblong = Math.max(MOST_OBLONG, fabric.width / fabric.height, fabric.height / fabric.width);
    const most = programs.reduce((n, program) => Math.max(n, coresInUse(program)), 1);
    return widths.flatMap((width) =>
      heights
        .filter((height) => width * height <= most && width <= oblong * height && height <= oblong * width)
        .map((height) => ({ width, height, groups: heads.find((g) => width % g === 0) ?? 1 })),
    );
  }

  /** Divisors of the number of KV heads, largest first: a group of columns holds whole heads. */
  private headGroups(templates: readonly number[]): number[] {
    const { graph, stages } = this.input;
    const counts = templates.flatMap((t) =>
      stages.stages[stages.templates[t].exemplar].ops.flatMap((at) =>
        graph.ops[at].kind === 'wafc.attention' ? [graph.ops[at].attrs.kvHeads as number] : [],
      ),
    );
    const common = counts.reduce((a, b) => gcd(a, b), counts[0] ?? 1);
    return Array.from({ length: common }, (_, i) => common - i).filter((g) => common % g === 0);
  }
}

/** Of a region of the part, the most that its stages come to when those of each template count `of`. */
const mostHeld = ({ templates, held }: Part, of: readonly number[]): number =>
  held.reduce(
    (n, h) =>
      Math.max(
        n,
        templates.reduce((m, t, i) => m + (h.get(t) ?? 0) * of[i], 0),
      ),
    0,
  );

/** More cores than this have nothing to hold: an element of the largest weight, or a position of a head, each. */
const coresInUse = ({ tensors, shape }: RegionProgram): number =>
  tensors.reduce((n, { role, shape: dims }) => {
    if (role === 'weight') return Math.max(n, elementCount(dims));
    return role === 'state' ? Math.max(n, dims[0] * shape.groups) : n;
  }, 1);

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
