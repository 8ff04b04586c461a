/** Which elements of a tensor one core holds, from the definition of Layout (ir/program.ts); for verifiers. */
import type { MeshAxis, ProgramTensor, RegionShape } from '../ir/program.ts';

/** Per dim: first element, and the one after the last. */
export type Box = readonly (readonly [start: number, end: number])[];

/** The elements of a tensor whose rows are not dealt on the core in column `x` and row `y` of a region. */
export function boxOf({ shape, layout }: ProgramTensor, region: RegionShape, x: number, y: number): Box {
  const inner = region.width / region.groups;
  const place: Readonly<Record<MeshAxis, readonly [position: number, size: number]>> = {
    y: [y, region.height],
    xo: [Math.floor(x / inner), region.groups],
    xi: [x % inner, inner],
  };
  return shape.map((extent, d) => {
    let [start, length] = [0, extent];
    for (const axis of layout.dims[d]) {
      const [i, p] = place[axis];
      const low = Math.floor((i * length) / p);
      const high = Math.floor(((i + 1) * length) / p);
      start += low;
      length = high - low;
    }
    return [start, start + length] as const;
  });
}

export const volume = (box: Box): number => box.reduce((n, [start, end]) => n * (end - start), 1);

/** Elements that two boxes share. */
export const shared = (a: Box, b: Box): number =>
  a.reduce((n, [start, end], d) => n * Math.max(0, Math.min(end, b[d][1]) - Math.max(start, b[d][0])), 1);
