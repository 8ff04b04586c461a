/** Which activations of a program are in SRAM when, in positions of its op list. */
import type { RegionProgram, T } from '../ir/program.ts';
import { usesOf } from '../map/uses.ts';

/** First and last position at which a tensor's buffer holds something; position `ops.length` is after the last op. */
export interface Lifetime {
  readonly tensor: T;
  readonly first: number;
  readonly last: number;
}

/**
 * Inputs are held throughout: the next step's may arrive at any time, so nothing else may lie there. Outputs are
 * held from their op to the end, when they leave. Temporaries from their first op to their last.
 */
export function lifetimesOf(program: RegionProgram): Lifetime[] {
  const first = new Map<T, number>();
  const last = new Map<T, number>();
  for (const [i, op] of program.ops.entries()) {
    const { reads, writes } = usesOf(op);
    for (const t of [...reads, ...writes]) {
      if (!first.has(t)) first.set(t, i);
      last.set(t, i);
    }
  }
  const end = program.ops.length;
  const outputs = new Set(program.outputs);
  return program.tensors.flatMap((tensor, t): Lifetime[] => {
    if (tensor.role === 'weight' || tensor.role === 'state') return [];
    if (tensor.role === 'input') return [{ tensor: t, first: 0, last: end }];
    const from = first.get(t);
    const isOutput = tensor.role === 'output' || outputs.has(t);
    if (from === undefined) return isOutput ? [{ tensor: t, first: 0, last: end }] : [];
    return [{ tensor: t, first: from, last: isOutput ? end : (last.get(t) ?? from) }];
  });
}
