/** Extents of one core's tile, and where it starts in the data of all cores. */
import type { Spread } from './geometry.ts';

export const rows = (s: Spread, core: number): number => s.ranges[0].size[core];
export const width = (s: Spread, core: number): number => s.ranges[1].size[core];
export const base = (s: Spread, core: number): number => core * s.stride;
