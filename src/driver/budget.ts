/** `--budget`: bytes that a plan may take, of each core or of all weights together. */
import { fail } from '../diag/diagnostic.ts';
import type { Target } from '../ir/target.ts';
import type { CompressionArguments } from './contract.ts';

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

export interface Budget {
  readonly bytes: number;
  readonly perCore: boolean;
}

/** Reads `36KiB/core` or `12GB`; undefined when there is none. @throws Diagnosed `compress/budget` */
export function budgetOf({ budget, quantize }: CompressionArguments): Budget | undefined {
  if (budget === undefined) return undefined;
  const [, number, unit, perCore] = /^(\d+(?:\.\d+)?)\s*([KMG]?i?B)(\/core)?$/.exec(budget) ?? [];
  const bytes = Math.floor(Number(number) * (UNITS[unit ?? ''] ?? Number.NaN));
  if (!(bytes > 0))
    return fail({
      code: 'compress/budget',
      message: `'${budget}' is no number of bytes`,
      notes: ['as in 36KiB/core, or 12GB for all weights'],
    });
  if (quantize !== 'auto')
    return fail({
      code: 'compress/budget',
      message: '--budget goes with --quantize auto, which chooses formats within it',
    });
  return { bytes, perCore: perCore !== undefined };
}

/** The target with no more SRAM a core than the budget has. */
export const withinBudget = (target: Target, budget: Budget | undefined): Target =>
  budget?.perCore === true && budget.bytes < target.sramBytes ? { ...target, sramBytes: budget.bytes } : target;
