/**
 * `--check-numerics`: runs the program before and after each pass that changed its graph, and holds the pass to the
 * `numerics` it declares. How a program is run, and on what inputs, is the caller's.
 */
import type { Program } from '../ir/facts.ts';
import { printNumber } from '../ir/literal.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { NumericCheck } from './observe.ts';
import type { AnyPass } from './pass.ts';

/** Outputs by name, the same inputs every time. */
export type RunProgram = (program: Program) => ReadonlyMap<string, Tensor>;

/** Largest relative difference that another order of additions may make in f32, over the depth of a small model. */
export const REASSOCIATION_TOLERANCE = 1e-4;

/** A pass changed values more than it says it does: our fault. */
export class BrokenNumerics extends Error {
  constructor(pass: AnyPass, difference: string) {
    super(`${pass.name} declares itself '${pass.numerics}', but ${difference}`);
    this.name = 'BrokenNumerics';
  }
}

export interface Difference {
  /** Largest |a - b| / max(1, |a|) over outputs that both have; 0 means bit for bit. */
  readonly worst: number;
  /** `%y[3]: 1.5 before, 1.25 after`, of the worst element; '' when there is none. */
  readonly at: string;
}

/** Throws BrokenNumerics; `show` gets one line per checked pass that changed values at all. */
export function compareNumerics(run: RunProgram, show: (text: string) => void): NumericCheck {
  let last: { program: Program; outputs: ReadonlyMap<string, Tensor> } | undefined;
  return ({ index, step, before, after }) => {
    const { pass } = step;
    const wanted = last?.program === before ? last.outputs : run(before);
    const found = run(after);
    last = { program: after, outputs: found };
    const { worst, at } = compareOutputs(wanted, found);
    if (worst > 0) show(`numerics: ${index} ${pass.name} (${pass.numerics}): ${worst.toExponential(2)} at ${at}\n`);
    const allowed = { exact: 0, reassociates: REASSOCIATION_TOLERANCE, lossy: Number.POSITIVE_INFINITY }[pass.numerics];
    if (worst > allowed) throw new BrokenNumerics(pass, at);
  };
}

/** Compares outputs by name. A missing output, or one of another shape or type, is an infinite difference. */
export function compareOutputs(before: ReadonlyMap<string, Tensor>, after: ReadonlyMap<string, Tensor>): Difference {
  let difference: Difference = { worst: 0, at: '' };
  const note = (worst: number, at: string): void => {
    if (worst > difference.worst) difference = { worst, at };
  };
  for (const [name, a] of before) {
    const b = after.get(name);
    if (b === undefined) note(Number.POSITIVE_INFINITY, `%${name} is gone`);
    else if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) {
      note(Number.POSITIVE_INFINITY, `%${name}: ${a.dtype}[${a.shape}] before, ${b.dtype}[${b.shape}] after`);
    } else {
      for (let i = 0; i < a.data.length; i++) {
        const [x, y] = [a.data[i], b.data[i]];
        if (Object.is(x, y)) continue;
        const relative = Math.abs(x - y) / Math.max(1, Math.abs(x));
        // 0 and -0, or a NaN that came or went, differ although their distance does not say so.
        const size = Number.isNaN(relative) ? Number.POSITIVE_INFINITY : Math.max(relative, Number.MIN_VALUE);
        note(size, `%${name}[${i}]: ${printNumber(x)} before, ${printNumber(y)} after`);
      }
    }
  }
  return difference;
}
