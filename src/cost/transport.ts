/**
 * Moving a stage's outputs to the next region, and values between host and mesh. Activations leave and enter a
 * region cut along its rows and replicated along its columns, so each row is a lane of its own.
 */
import type { Transport } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import type { Rect } from '../target/cores.ts';
import { type Overhead, OVERHEAD_SPLITS } from './constants.ts';

export interface SendCost {
  /** Calibrated estimate. */
  readonly cycles: number;
  readonly bound: number;
  /** Rows that send side by side. */
  readonly lanes: number;
  /** Wavelets of the fullest lane. */
  readonly wavelets: number;
  /** Lanes that share the busiest link. */
  readonly share: number;
  /** Longest way, in links. */
  readonly hops: number;
  readonly terms: readonly { readonly what: string; readonly cycles: number }[];
}

/** Links between the nearest cores of two rectangles along one axis: 0 where they overlap. */
const gap = (a: number, aSize: number, b: number, bSize: number): number =>
  Math.max(0, b - (a + aSize - 1), a - (b + bSize - 1));

/**
 * Before routes are known: `bytes` of activations from region to region, ending on every column of `to`. Row i of the source feeds the row
 * that holds the same part; a lane that changes rows does so in a column of its own while there are columns (the
 * activation is on all of them). Time of one multicast: B + hops + 2 T_R + 1 (HPDC 2024, broadcast), plus the
 * software overhead of a collective (assumed).
 */
export function sendCost(
  { from, to, bytes }: { from: Rect; to: Rect; bytes: number },
  target: Target,
  overhead: Overhead = OVERHEAD_SPLITS.even,
): SendCost {
  const { hopCycles, rampCycles, waveletBytes } = target;
  const lanes = Math.min(from.height, to.height);
  const wavelets = Math.ceil(Math.ceil(bytes / lanes) / waveletBytes);
  const shift = Math.max(Math.abs(to.y - from.y), Math.abs(to.y + to.height - from.y - from.height));
  const share = shift === 0 ? 1 : Math.max(1, Math.ceil(Math.min(shift, lanes) / Math.min(from.width, to.width)));
  const across = gap(from.x, from.width, to.x, to.width);
  const down = gap(from.y, from.height, to.y, to.height);
  const hops = shift + across + to.width - 1;
  const ramps = 2 * rampCycles + 1;
  const terms = [
    { what: 'wavelets', cycles: share * wavelets },
    { what: 'hops', cycles: hops * hopCycles },
    { what: 'ramps', cycles: ramps },
    { what: 'software', cycles: Math.ceil(overhead.collective) },
  ];
  return {
    cycles: terms.reduce((n, t) => n + t.cycles, 0),
    bound: (across + down) * hopCycles + ramps + Math.max(0, wavelets - 1),
    lanes,
    wavelets,
    share,
    hops,
    terms,
  };
}

/**
 * Cycles of a transport on its routes: wavelets of its busiest link, hops of its longest way, ramps of cores that pass it
 * on, and the software overhead of a collective.
 */
export function transportCost(
  { wavelets, hops, depth }: Pick<Transport, 'wavelets' | 'hops' | 'depth'>,
  { hopCycles, rampCycles }: Target,
): number {
  return wavelets + hops * hopCycles + depth * (2 * rampCycles + 1) + Math.ceil(OVERHEAD_SPLITS.even.collective);
}

/** Cycles at `clockGHz` that one transfer of `bytes` between host and mesh takes: its latency, then the link's rate. */
export function hostCycles(bytes: number, clockGHz: number, { host }: Target): number {
  const seconds = host.latencyMicroseconds * 1e-6 + (bytes * 8) / (host.gigabitsPerSecond * 1e9);
  return Math.ceil(seconds * clockGHz * 1e9);
}
