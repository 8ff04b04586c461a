/**
 * Physical limits by hand: what compute, SRAM and distance allow before any plan exists. The figures of a plan come
 * from program.ts; these say where to look for one, and what no plan can pass.
 */
import type { Target } from '../ir/target.ts';

/**
 * Side P of the square region where a layer is fastest: P* = (2M / (n r))^(1/3), from n P + M / (P^2 r). More cores
 * make it slower. `macs` M of a layer, `collectives` n one after another, `macsPerCycle` r of one core.
 */
export function optimalSide(macs: number, collectives: number, macsPerCycle: number): number {
  if (collectives === 0) return Number.POSITIVE_INFINITY;
  return Math.cbrt((2 * macs) / (collectives * macsPerCycle));
}

/** Cycles of a layer on a P x P region: n P of distance (half in, half out) and M / (P^2 r) of products. */
export function layerBound(
  { macs, collectives, macsPerCycle }: { macs: number; collectives: number; macsPerCycle: number },
  side: number,
): { distance: number; compute: number } {
  return { distance: collectives * side, compute: macs / (side * side * macsPerCycle) };
}

export interface TokenWork {
  /** Weight bytes that a token touches. */
  readonly weightBytes: number;
  readonly macs: number;
  /** Cores that hold them and work at the same time. */
  readonly cores: number;
}

/** Cycles per token with `cores` always busy: every weight byte read once, every product at the f16 SIMD rate. */
export function tokenBound({ weightBytes, macs, cores }: TokenWork, target: Target): { sram: number; compute: number } {
  return {
    sram: weightBytes / (cores * target.sramReadBytesPerCycle),
    compute: macs / (cores * (target.macsPerCycle.f16 ?? 1)),
  };
}
