/**
 * Closed forms of collectives on a line of cores, in cycles. The machine: a link carries one wavelet a cycle and
 * direction, so does a ramp; what passes through a core pays both ramps and one cycle of work.
 * Source: Luczynski et al., Near-Optimal Wafer-Scale Reduce, HPDC 2024, section 4 (model) and 5 (algorithms).
 */

/** A line of `cores` cores of a region, `stride` links apart; cores between only let pass. */
export interface Line {
  readonly cores: number;
  readonly stride: number;
  readonly hopCycles: number;
  /** T_R. */
  readonly rampCycles: number;
}

/** Cycles by cause; they add up to the time. */
export interface Spent {
  /** Wavelets through the busiest core or link. */
  readonly stream: number;
  /** Hops. */
  readonly distance: number;
  /** Cores that work one after another, each with both its ramps. */
  readonly depth: number;
}

export const NOTHING: Spent = { stream: 0, distance: 0, depth: 0 };
export const totalOf = ({ stream, distance, depth }: Spent): number => stream + distance + depth;
export const addSpent = (a: Spent, b: Spent): Spent => ({
  stream: a.stream + b.stream,
  distance: a.distance + b.distance,
  depth: a.depth + b.depth,
});

interface Traffic {
  /** C: most wavelets through one core. */
  readonly contention: number;
  /** E / N: wavelet hops by links, of one line. */
  readonly load: number;
  /** L: longest way, in cores of the line. */
  readonly distance: number;
  /** D: longest chain of dependent cores. */
  readonly depth: number;
}

/** Cycles that a dependent core adds: a ramp in, a cycle, a ramp out. */
export const depthCycles = ({ rampCycles }: Line): number => 2 * rampCycles + 1;

/** T = max(C, E/N + L) + (2 T_R + 1) D: HPDC 2024, equation of the performance model. */
export function generalTime({ contention, load, distance, depth }: Traffic, line: Line): Spent {
  const hops = distance * line.stride * line.hopCycles;
  const way = contention > load + hops ? { stream: contention, distance: 0 } : { stream: load, distance: hops };
  return { ...way, depth: depthCycles(line) * depth };
}

/** From one end to all: B + P + 2 T_R (HPDC 2024); fan-out in the routers is free. */
export function broadcast(line: Line, wavelets: number): Spent {
  if (line.cores < 2) return NOTHING;
  return generalTime({ contention: wavelets, load: wavelets, distance: line.cores - 1, depth: 1 }, line);
}

/** All send to one end at once: max(B (P-1), B P/2 + P-1) + 2 T_R + 1 (HPDC 2024). */
export function starReduce(line: Line, wavelets: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  return generalTime({ contention: wavelets * (p - 1), load: (wavelets * p) / 2, distance: p - 1, depth: 1 }, line);
}

/** Each adds its own and passes on, to one end: B + (2 T_R + 2)(P-1) (HPDC 2024). */
export function chainReduce(line: Line, wavelets: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  return generalTime({ contention: wavelets, load: wavelets, distance: p - 1, depth: p - 1 }, line);
}

/** Halving, to one end: max(B lg P, B lg P / 2 + P-1) + (2 T_R + 1) lg P (HPDC 2024). */
export function treeReduce(line: Line, wavelets: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  const depth = Math.log2(p);
  return generalTime({ contention: wavelets * depth, load: (wavelets * depth) / 2, distance: p - 1, depth }, line);
}

/**
 * Chains inside groups of `group`, then a chain of their ends, to one end (HPDC 2024):
 * max(2B, E/(P-1) + P-1) + (2 T_R + 1)(S + P/S - 2), E = B((S-1) P/S + (P/S-1) S).
 */
export function twoPhaseReduce(line: Line, wavelets: number, group: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  const groups = p / group;
  const energy = wavelets * ((group - 1) * groups + (groups - 1) * group);
  const depth = group + groups - 2;
  return generalTime({ contention: 2 * wavelets, load: energy / (p - 1), distance: p - 1, depth }, line);
}

/**
 * WaferLLM's K = 2 tree (OSDI 2025, section 6.2; repository `decode_struct`): both halves of each group of `group`
 * cores chain to its middle, the middles chain to that of the middle group, which broadcasts. Asymptotically
 * N + (2 T_R + 1)(g/2 + N/2g) + 3B; here with whole cores, so that it also holds on short lines: two halves meet at
 * one ramp, 2B wavelets. `combineCycles` = cycles of work per wavelet received (1: sums keep up with the link).
 */
export function middleAllReduce(line: Line, wavelets: number, group: number, combineCycles: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  const groups = Math.ceil(p / group);
  const owed = wavelets * combineCycles;
  const near = Math.floor(group / 2);
  const far = Math.floor(groups / 2);
  const root = far * group + near;
  const inward = (cores: number, steps: number, apart: number): Spent =>
    generalTime({ contention: sidesOf(cores) * owed, load: owed, distance: steps * apart, depth: steps }, line);
  const first = group > 1 ? inward(group, near, 1) : NOTHING;
  const second = groups > 1 ? inward(groups, far, group) : NOTHING;
  const outward = Math.max(root, p - 1 - root);
  const third = generalTime({ contention: wavelets, load: wavelets, distance: outward, depth: 1 }, line);
  return addSpent(addSpent(first, second), third);
}

/** Sides from which a middle core receives. */
const sidesOf = (cores: number): number => Math.min(cores - 1, 2);

/**
 * Each block meets the contributions of all cores on its way to its owner, from both ends: P-1 dependent cores,
 * (P-1)/P of the tensor through each core (general form; no published measurement). `wavelets` = one core's
 * contribution to the whole tensor.
 */
export function relayReduceScatter(line: Line, wavelets: number, combineCycles: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  const block = Math.ceil(wavelets / p) * combineCycles;
  return generalTime({ contention: (p - 1) * block, load: (p * block) / 2, distance: p - 1, depth: p - 1 }, line);
}

/** Every core passes on what it receives, both ways: P-1 dependent cores. `block` = wavelets of one core's part. */
export function relayAllGather(line: Line, block: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  return generalTime({ contention: (p - 1) * block, load: (p * block) / 2, distance: p - 1, depth: p - 1 }, line);
}

/**
 * Every core sends its part both ways, then switches its router to let the others through: one dependent core, but
 * a switchable color for each way (SDK builtins, `advance_switch`). `block` = wavelets of one core's part.
 */
export function inTurnAllGather(line: Line, block: number): Spent {
  const p = line.cores;
  if (p < 2) return NOTHING;
  return generalTime({ contention: (p - 1) * block, load: (p * block) / 2, distance: p - 1, depth: 1 }, line);
}
