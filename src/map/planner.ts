/**
 * Region programs of templates for any shape, quickly. A program names axes, not sizes: what the layout search finds on
 * a few shapes, with SRAM free and with SRAM dear, is a pool of strategies; on any other shape each of them is costed, and
 * those that are beaten in cycles and bytes are left out. The search over regions asks hundreds of shapes.
 */
import { FITTED_CYCLES_PER_MAC } from '../cost/constants.ts';
import { optimalSide } from '../cost/lower-bound.ts';
import { costProgram, totalCost } from '../cost/program.ts';
import { tileBytes } from '../cost/tile.ts';
import { elementCount } from '../ir/constant.ts';
import type { IoRole, RunMode, Stages } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import { type ProgramOp, type ProgramTensor, type RegionProgram, type RegionShape } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { bestLayouts, searchLayouts } from './layout-search.ts';
import type { MapOptions } from './rewrites.ts';
import { type Densities, StageContext, type StepSize, tensorText } from './stage-context.ts';
import { usesOf } from './uses.ts';

export interface PlannerInput {
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  readonly stages: Stages;
  readonly mode: RunMode;
  readonly target: Target;
  readonly options: MapOptions;
  readonly densities?: Densities;
}

/** A program on its shape. */
export interface Variant {
  readonly program: RegionProgram;
  readonly cycles: number;
  /** Of weights and state, on the fullest core, for one stage and one sequence. */
  readonly residentBytes: number;
}

/** A program for any shape with the same groups. */
interface Strategy {
  readonly program: RegionProgram;
}

type Side = Pick<RegionShape, 'width' | 'height'>;

/** Assumed: a program that is slower is worth keeping when it needs this share of the SRAM, or less. */
const LESS = 0.95;

interface Sample extends Side {
  readonly cyclesPerByte: number;
}

/** States kept while strategies are collected. Assumed: enough, as the chosen shape is searched again in full. */
const QUICK = 4;
/** States kept on the chosen shape. */
const FULL = 120;
/** Cycles a byte is worth where SRAM is dear: more than any replica saves. */
const DEAR = 2;

export class StagePlanner {
  private readonly input: PlannerInput;
  private readonly size: StepSize;
  private readonly pools = new Map<string, readonly Strategy[]>();
  private readonly known = new Map<string, readonly Variant[]>();

  constructor(input: PlannerInput) {
    this.input = input;
    const { mode } = input;
    this.size = { tokens: mode.kind === 'whole' ? mode.context : 1, context: mode.context };
  }

  /** Programs of a template on a shape, fewest cycles first; each needs less SRAM than those before it. */
  variants(template: number, { width, height, groups }: RegionShape): readonly Variant[] {
    const key = `${template}/${width}x${height}/${groups}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const sized = this.pool(template, groups).map((s) => this.sized(s, { width, height, groups }));
    const least = sized.reduce((a, b) => (b.residentBytes < a.residentBytes ? b : a));
    // What no core has room for is not costed, but for the one that needs least: it says what is short.
    const open = sized.filter((s) => s === least || s.residentBytes <= this.input.target.sramBytes);
    const all = open.map((s) => this.variant(s));
    const best: Variant[] = [];
    // What needs least is always kept: it decides what fits.
    all.sort((a, b) => a.cycles - b.cycles || a.residentBytes - b.residentBytes);
    for (const v of all)
      if (v.residentBytes < (v.program === least.program ? 1 : LESS) * (best.at(-1)?.residentBytes ?? Infinity))
        best.push(v);
    this.known.set(key, best);
    return best;
  }

  /** Costed when it is asked: shapes on which nothing fits never are. */
  private variant({ program, residentBytes }: Strategy & { readonly residentBytes: number }): Variant {
    const { target } = this.input;
    let cycles: number | undefined;
    return {
      program,
      residentBytes,
      get cycles(): number {
        cycles ??= totalCost(costProgram(program, target)).cycles;
        return cycles;
      },
    };
  }

  /** What the variants are made from: programs that cut every dim in the ways worth taking. */
  strategies(template: number, groups: number): RegionProgram[] {
    return this.pool(template, groups).map(({ program }) => program);
  }

  /** What the full search finds on the shape of `from` that beats it in cycles and `fits`; with SRAM dear where the fastest does not. */
  refined(template: number, from: Variant, fits: (program: RegionProgram) => boolean): RegionProgram | undefined {
    const context = this.context(template, from.program.shape);
    for (const cyclesPerByte of [0, DEAR]) {
      const ceiling = from.cycles + cyclesPerByte * from.residentBytes;
      const found = searchLayouts(context, { width: FULL, cyclesPerByte }, ceiling);
      if (found !== undefined && found.cycles < from.cycles && fits(found.program)) return found.program;
    }
    return undefined;
  }

  /** The program that keeps least SRAM busy on a shape, searched in full. */
  smallest(template: number, shape: RegionShape): RegionProgram {
    return bestLayouts(this.context(template, shape), { width: FULL, cyclesPerByte: DEAR }).program;
  }

  private context(template: number, shape: RegionShape): StageContext {
    const { graph, roles, stages, target, options, densities = new Map() } = this.input;
    const stage = stages.stages[stages.templates[template].exemplar];
    return new StageContext({ graph, roles, stage, shape, size: this.size, target, options, densities });
  }

  private sized({ program }: Strategy, shape: RegionShape): Strategy & { readonly residentBytes: number } {
    const resident = program.tensors.filter(({ role }) => role === 'weight' || role === 'state');
    const residentBytes = resident.reduce((n, t) => n + tileBytes(t, shape), 0);
    return { program: { ...program, shape }, residentBytes };
  }

  private pool(template: number, groups: number): readonly Strategy[] {
    const key = `${template}/${groups}`;
    const known = this.pools.get(key);
    if (known !== undefined) return known;
    const found = new Map<string, Strategy>();
    for (const { cyclesPerByte, ...side } of this.samples(template, groups)) {
      const { program } = bestLayouts(this.context(template, { ...side, groups }), { width: QUICK, cyclesPerByte });
      const text = program.ops.map((op) => costKey(op, program.tensors)).join('\n');
      if (!found.has(text)) found.set(text, { program });
    }
    const pool = [...found.values()];
    this.pools.set(key, pool);
    return pool;
  }

  /** Shapes from where the weights just fit to sixty times as many cores, a wide and a tall one among them. */
  private samples(template: number, groups: number): Sample[] {
    const { graph, stages, target } = this.input;
    const { weights } = stages.stages[stages.templates[template].exemplar];
    const constants = weights.flatMap((v) => graph.constants.get(v) ?? []);
    const elements = constants.reduce((n, c) => n + elementCount(c.shape), 0);
    const bytes = constants.reduce((n, c) => n + (elementCount(c.shape) * DTYPE_BITS[c.stored]) / 8, 0);
    const room = Math.max(1, target.sramBytes - target.reservedCodeBytes - target.reservedStackBytes);
    const least = Math.max(4, bytes / room);
    const sides = new Map<string, Sample>();
    // Where latency is least, wherever the weights would fit.
    const fastest = optimalSide(elements, SAMPLE_COLLECTIVES, SAMPLE_RATE) ** 2;
    const areas = [
      ...SAMPLES.map(([times, aspect, cyclesPerByte]) => [least * times, aspect, cyclesPerByte] as const),
      ...FASTEST.map(([times, aspect, cyclesPerByte]) => [fastest * times, aspect, cyclesPerByte] as const),
    ];
    for (const [area, aspect, cyclesPerByte] of areas) {
      const width = Math.max(1, Math.round(Math.sqrt(area * aspect) / groups)) * groups;
      const height = Math.max(1, Math.round(Math.sqrt(area / aspect)));
      if (width <= target.width && height <= target.height)
        sides.set(`${width}x${height} ${cyclesPerByte}`, { width, height, cyclesPerByte });
    }
    return sides.size > 0 ? [...sides.values()] : [{ width: groups, height: 1, cyclesPerByte: DEAR }];
  }
}

/** Cores, as a multiple of the fewest; width over height; what a byte is worth. */
const SAMPLES: readonly (readonly [number, number, number])[] = [
  [1, 1, DEAR],
  [8, 1, 0],
  [8, 1, DEAR],
  [64, 1, 0],
  [16, 3, 0],
  [16, 1 / 3, 0],
];

/** Of the area at which a layer of five reductions is fastest, at the calibrated rate. */
const FASTEST: typeof SAMPLES = [
  [1, 1, 0],
  [0.5, 2, 0],
];
const [SAMPLE_COLLECTIVES, SAMPLE_RATE] = [5, 1 / FITTED_CYCLES_PER_MAC];

/** Equal for ops that cost the same on every shape. */
function costKey(op: ProgramOp, tensors: readonly ProgramTensor[]): string {
  const { reads, writes } = usesOf(op);
  const operands = [...reads, ...writes].map((t) => tensorText(tensors[t]));
  return [op.op, 'fn' in op ? op.fn : '', 'axes' in op ? `${op.axes} ${op.combine}` : '', ...operands].join(' ');
}
