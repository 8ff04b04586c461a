/**
 * Cycles of every op of a region program, on its fullest core. `cycles` is the calibrated estimate, `bound` what the
 * machine cannot beat: no software overhead, ideal SIMD, the shortest way. The terms of an op add up to its cycles.
 */
import { type CollectiveOp, type ComputeOp, isCollective, type RegionProgram, type T } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { isFloat } from '../ir/types.ts';
import { type ChosenLine, collectiveCost } from './collectives.ts';
import { productCost, sparseCost, type VectorCost, vectorCost } from './compute.ts';
import { EXP_PASSES, type Overhead, OVERHEAD_SPLITS, SCALAR_DIVISION_CYCLES } from './constants.ts';
import { sparseEstimate, tileBytes, tileElements, tileShape, wireBytes } from './tile.ts';
import { binaryPasses, unaryPasses } from './passes.ts';

export interface CostTerm {
  readonly what: string;
  readonly cycles: number;
}

export interface OpCost {
  /** Index into RegionProgram.ops. */
  readonly op: number;
  readonly cycles: number;
  readonly bound: number;
  readonly boundBy: 'compute' | 'sram' | 'latency' | 'bandwidth';
  /** Multiply-accumulates of the fullest core. */
  readonly macs: number;
  /** Of a collective: by region axis, rows first. */
  readonly algorithm?: string;
  /** Of a collective: payload of the fullest core. */
  readonly wavelets?: number;
  /** Of a collective: one line after another. */
  readonly lines?: readonly ChosenLine[];
  readonly terms: readonly CostTerm[];
}

/** For comparisons: nothing here is chosen when plans are made. */
export interface CostOptions {
  readonly overhead?: Overhead;
  /** All-reduces by WaferLLM's tree with groups of this many cores. */
  readonly treeGroup?: number;
}

interface Place {
  readonly program: RegionProgram;
  readonly target: Target;
  readonly overhead: Overhead;
  readonly treeGroup?: number;
}

/** One entry per op, in order. Attention is charged for the full context. */
export function costProgram(program: RegionProgram, target: Target, options: CostOptions = {}): OpCost[] {
  const place = { overhead: OVERHEAD_SPLITS.even, ...options, program, target };
  const costs = program.ops.map((op): Cost => (isCollective(op) ? collective(op, place) : compute(op, place)));
  return withRuns(costs, place).map((cost, op) => ({ op, ...cost }));
}

/**
 * Vector operations that follow each other are one operation: the 8 of the published layer are what stands between its
 * products and collectives (a residual and the norm behind it are one of them). The fitted overhead of such a run already
 * holds the short vectors of the calibration plans (up to about 35 elements a core), so the run's own work is charged
 * where it exceeds that. The last operation of a run carries what is left of the overhead.
 */
function withRuns(costs: readonly Cost[], { program, overhead }: Pick<Place, 'program' | 'overhead'>): Cost[] {
  const charged = [...costs];
  let [worked, last] = [0, -1];
  const end = (): void => {
    const software = Math.ceil(overhead.compute - worked);
    if (last >= 0 && software > 0) {
      const { cycles, terms } = charged[last];
      const left = { what: 'software', cycles: software };
      charged[last] = { ...charged[last], cycles: cycles + software, terms: [...terms, left] };
    }
    [worked, last] = [0, -1];
  };
  for (const [i, op] of program.ops.entries()) {
    // A collective over one core is none.
    const apart = isCollective(op) ? costs[i].algorithm !== 'none' : isApart(op);
    if (apart) end();
    const own = costs[i].terms.find((t) => t.what === 'vector');
    if (own === undefined || isApart(op)) continue;
    worked += own.cycles;
    last = i;
  }
  end();
  return charged;
}

/** A product, not one of a run of vector operations. */
export const isApart = ({ op }: RegionProgram['ops'][number]): boolean =>
  op === 'gemv' || op === 'attend' || op === 'scores' || op === 'mix';

/** Sum over the ops: what one step takes when nothing overlaps. */
export function totalCost(costs: readonly OpCost[]): { cycles: number; bound: number; macs: number } {
  const sum = (key: 'cycles' | 'bound' | 'macs') => costs.reduce((n, c) => n + c[key], 0);
  return { cycles: sum('cycles'), bound: sum('bound'), macs: sum('macs') };
}

type Cost = Omit<OpCost, 'op'>;

/** Whole cycles per term, so that figures add up as they are printed; the bound never exceeds the estimate. */
function made(terms: readonly CostTerm[], rest: Pick<Cost, 'bound' | 'boundBy'> & Partial<Cost>): Cost {
  const whole = terms.map(({ what, cycles }) => ({ what, cycles: Math.ceil(cycles) })).filter((t) => t.cycles > 0);
  const cycles = whole.reduce((n, t) => n + t.cycles, 0);
  return { macs: 0, ...rest, bound: Math.min(cycles, Math.ceil(rest.bound)), cycles, terms: whole };
}

function collective(op: CollectiveOp, { program, target, overhead, ...rest }: Place): Cost {
  const bytes = op.inputs.reduce((n, t) => n + wireBytes(program.tensors[t], program.shape), 0);
  const wavelets = Math.ceil(bytes / target.waveletBytes);
  const cost = collectiveCost(op, wavelets, { shape: program.shape, target, ...rest });
  const software = cost.algorithm === 'none' ? 0 : overhead.collective;
  return made(
    [
      { what: 'wavelets', cycles: cost.stream },
      { what: 'hops', cycles: cost.distance },
      { what: 'ramps', cycles: cost.depth },
      { what: 'software', cycles: software },
    ],
    {
      bound: cost.bound,
      boundBy: cost.distance + cost.depth >= cost.stream ? 'latency' : 'bandwidth',
      algorithm: cost.algorithm,
      lines: cost.lines,
      wavelets,
    },
  );
}

const COPY = { passes: 1, reads: 1 } as const;

function compute(op: ComputeOp, place: Place): Cost {
  switch (op.op) {
    case 'gemv':
      return gemv(op, place);
    case 'attend':
      return attend(op, place);
    case 'scores':
      return scores(op, place);
    case 'mix':
      return mix(op, place);
    case 'embed':
      return embed(op, place);
    case 'append':
      // Codes: times the inverse scale, rounded, cut off.
      return vector(place, op.x, op.scales === undefined ? COPY : { passes: 3, reads: 2 });
    case 'unary':
      return vector(place, op.x, { passes: unaryPasses(op.fn), reads: 1 });
    case 'binary':
      return vector(place, op.out, { passes: binaryPasses(op.fn), reads: 2 });
    case 'abs_max':
      // Signs away, then the larger.
      return vector(place, op.x, { passes: 2, reads: 1 });
    case 'sum_squares':
      return vector(place, op.x, { passes: 1, reads: 1 });
    case 'moments':
      // Mean, then squared differences: two passes each (subtract, multiply-add).
      return vector(place, op.x, { passes: 3, reads: 1 });
    case 'rms_apply':
      return vector(place, op.x, { passes: op.gamma === null ? 1 : 2, reads: 1, scalars: 2 * rowsOf(place, op.sums) });
    case 'rms_scale': {
      const cycles = op.inputs.map((x) => vectorOf(place, x, { passes: 1, reads: 1 }));
      const scalars = 2 * rowsOf(place, op.sums) * SCALAR_DIVISION_CYCLES;
      const sum = cycles.reduce((n, c) => n + c.cycles, scalars);
      return made(vectorTerms(sum), { ...cycles[0], bound: cycles.reduce((n, c) => n + c.bound, 0) });
    }
    case 'layer_apply': {
      const passes = 2 + (op.gamma === null ? 0 : 1) + (op.beta === null ? 0 : 1);
      return vector(place, op.x, { passes, reads: 1, scalars: (2 * rowsOf(place, op.moments)) / 3 });
    }
    case 'rope':
      return vector(place, op.x, { passes: 3, reads: 2 });
    case 'softmax_finish':
      return vector(place, op.o, { passes: 1, reads: 1, scalars: rowsOf(place, op.stats) / 2 });
    case 'shard':
    case 'slice':
    case 'select':
    case 'concat':
    case 'token': {
      // A copy that its neighbours' vector instructions make on their way: no overhead of its own (assumed).
      const cost = vectorOf(place, op.out, COPY);
      return made([{ what: 'copy', cycles: cost.cycles }], cost);
    }
  }
}

/** Elements that the core holds of small tensors of statistics. */
const rowsOf = ({ program }: Place, t: T): number => tileElements(program.tensors[t], program.shape);

interface VectorWork {
  readonly passes: number;
  readonly reads: number;
  /** Scalar divisions and square roots. */
  readonly scalars?: number;
}

function vectorOf({ program, target }: Place, t: T, { passes, reads, scalars = 0 }: VectorWork): VectorCost {
  const tensor = program.tensors[t];
  const elements = tileElements(tensor, program.shape);
  const cost = vectorCost({ elements, passes, reads, dtype: tensor.dtype }, target);
  return { ...cost, cycles: cost.cycles + scalars * SCALAR_DIVISION_CYCLES };
}

/** Its software is charged by the run it is in: {@link withRuns}. */
const vectorTerms = (cycles: number): CostTerm[] => [{ what: 'vector', cycles }];

function vector(place: Place, t: T, work: VectorWork): Cost {
  const cost = vectorOf(place, t, work);
  return made(vectorTerms(cost.cycles), cost);
}

/** A row is copied; of a table of codes it is unpacked on the way. */
function embed(op: Extract<ComputeOp, { op: 'embed' }>, place: Place): Cost {
  const { program, target } = place;
  if (program.tensors[op.table].coding === undefined) return vector(place, op.out, COPY);
  const { cycles, bound, boundBy } = vectorOf(place, op.out, COPY);
  const unpack = tileElements(program.tensors[op.out], program.shape) / target.unpackPerCycle;
  return made([...vectorTerms(cycles), { what: 'unpack', cycles: unpack }], { bound: bound + unpack, boundBy });
}

function gemv(op: Extract<ComputeOp, { op: 'gemv' }>, { program, target, overhead }: Place): Cost {
  const { tensors, shape } = program;
  const x = tensors[op.x];
  const [rows] = tileShape(x, shape);
  const products = op.weights.map((w, i) => {
    const weight = tensors[w];
    const elements = tileElements(weight, shape);
    const held = { macs: elements * rows, elements, bytes: tileBytes(weight, shape) };
    const product = { ...held, dtype: weight.dtype, x: x.dtype, sum: tensors[op.outputs[i]].dtype };
    const stored = weight.sparsity ?? sparseEstimate(weight, shape);
    const cost = stored === undefined ? productCost(product, target) : sparseCost(product, stored, target);
    return { macs: held.macs, ...cost };
  });
  const sum = (key: 'macs' | 'multiply' | 'unpack' | 'index' | 'bound'): number =>
    products.reduce((n, p) => n + p[key], 0);
  return made(
    [
      { what: 'multiply', cycles: sum('multiply') },
      { what: 'unpack', cycles: sum('unpack') },
      { what: 'index', cycles: sum('index') },
      { what: 'software', cycles: overhead.compute },
    ],
    { bound: sum('bound'), boundBy: products[0].boundBy, macs: sum('macs') },
  );
}

/**
 * Two products and a softmax over the core's own positions: queries against keys, weights against values. Every
 * query feature meets every position once, and so does every output feature.
 */
function attend(op: Extract<ComputeOp, { op: 'attend' }>, place: Place): Cost {
  const first = stateProduct(place, op.keys, op.q);
  const second = stateProduct(place, op.values, op.out);
  const scaling = [scaledBy(place, op.keyScales, op.q), scaledBy(place, op.valueScales, op.out)];
  const { terms, bound } = softmax(place, op, scaling);
  return made([...first.terms, ...second.terms, ...terms], {
    bound: first.bound + second.bound + bound,
    boundBy: first.boundBy,
    macs: first.macs + second.macs,
  });
}

/** Queries are scaled among the vector operations before. */
function scores(op: Extract<ComputeOp, { op: 'scores' }>, place: Place): Cost {
  const { terms, bound, ...rest } = stateProduct(place, op.keys, op.q);
  const scaling = scaledBy(place, op.keyScales, op.q);
  return made([...terms, ...vectorTerms(scaling.cycles)], { bound: bound + scaling.bound, ...rest });
}

function mix(op: Extract<ComputeOp, { op: 'mix' }>, place: Place): Cost {
  const { terms, bound, boundBy, macs } = stateProduct(place, op.values, op.out);
  const weights = softmax(place, op, [scaledBy(place, op.valueScales, op.out)]);
  return made([...terms, ...weights.terms], { bound: bound + weights.bound, boundBy, macs });
}

/** Features of `x` against the positions of `state` that the core holds. */
function stateProduct({ program, target, overhead }: Place, state: T, x: T) {
  const { tensors, shape } = program;
  const [tokens, features] = tileShape(tensors[x], shape);
  const { dtype } = tensors[state];
  const held = { elements: tileElements(tensors[state], shape), bytes: tileBytes(tensors[state], shape) };
  const macs = tokens * tileShape(tensors[state], shape)[0] * features;
  // Codes are multiplied in the type of the queries.
  const sum = isFloat(dtype) ? dtype : tensors[x].dtype;
  const cost = productCost({ macs, ...held, dtype, x: tensors[x].dtype, sum }, target);
  const terms = [
    { what: 'multiply', cycles: cost.multiply },
    { what: 'unpack', cycles: cost.unpack },
    { what: 'software', cycles: overhead.compute },
  ];
  return { terms, bound: cost.bound, boundBy: cost.boundBy, macs };
}

/** Scales of codes, one a feature. */
const scaledBy = (place: Place, scales: T | undefined, x: T): Pick<VectorCost, 'cycles' | 'bound'> =>
  scales === undefined ? { cycles: 0, bound: 0 } : vectorOf(place, x, { passes: 1, reads: 2 });

/** Scale, running maximum, exponential and sum over the core's own positions, for each of its heads; `more` is done in the same run. */
function softmax(
  { program, target, overhead }: Place,
  { values, stats, out }: { readonly values: T; readonly stats: T; readonly out: T },
  more: readonly Pick<VectorCost, 'cycles' | 'bound'>[],
) {
  const { tensors, shape } = program;
  const [tokens, heads] = tileShape(tensors[stats], shape);
  const elements = tokens * tileShape(tensors[values], shape)[0] * heads;
  const own = vectorCost({ elements, passes: EXP_PASSES + 3, reads: 1, dtype: tensors[out].dtype }, target);
  const cycles = more.reduce((n, m) => n + m.cycles, own.cycles);
  const terms = [
    { what: 'vector', cycles },
    { what: 'software', cycles: Math.max(0, overhead.compute - cycles) },
  ];
  return { terms, bound: more.reduce((n, m) => n + m.bound, own.bound) };
}
