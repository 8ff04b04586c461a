/** Reductions: what is owed over axes, paid line by line. */
import type { MeshAxis, T } from '../ir/program.ts';
import { linesOf } from './cut.ts';
import type { Draft } from './draft.ts';

/**
 * One message along each line of cores for all of `inputs`, which owe over `axes`. Their sums are on all cores (`dim` -1),
 * or each core keeps the part of `dim` that the axes cut.
 */
export function reduceAll(s: Draft, inputs: readonly T[], axes: readonly MeshAxis[], dim: number): T[] {
  const { tensors } = s.context;
  let at = [...inputs];
  const lines = linesOf(axes);
  for (const [i, line] of lines.entries()) {
    const left = lines.slice(i + 1).flat();
    const [first] = at;
    const combine = tensors[first].layout.partial?.combine ?? 'sum';
    const outputs = at.map((t) => {
      const { name, dtype, shape, layout } = tensors[t];
      const dims = layout.dims.map((d, k) => (k === dim ? [...d, ...line] : d));
      const partial = left.length === 0 || layout.partial === null ? null : { ...layout.partial, axes: left };
      const suffix = dim < 0 ? '/reduced' : '/scattered';
      return s.add(`${name.replace(/\/(partial|stats|reduced|scattered)$/, '')}${suffix}`, dtype, shape, {
        ...layout,
        dims,
        partial,
      });
    });
    s.collective(dim < 0 ? 'all_reduce' : 'reduce_scatter', line, { combine, dim, inputs: at, outputs });
    at = outputs;
  }
  return at;
}
