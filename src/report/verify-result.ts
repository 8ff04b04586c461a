/** What verify finds, as data: `wafc verify --json`. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Difference } from '../exec/compare.ts';

/** One op of one stage: the placed result against the reference's. */
export interface OpDifference {
  readonly stage: string;
  readonly node: string;
  readonly maxAbs: number;
  readonly maxRel: number;
  readonly bound: number;
}
export interface OutputDifference extends Difference {
  readonly case: string;
  readonly output: string;
  readonly of: 'placed vs reference' | 'reference vs onnxruntime' | 'placed vs onnxruntime';
  readonly bound: number;
  readonly argmaxAgrees: number;
}
export interface Generation {
  readonly prompt: readonly number[];
  readonly placed: readonly number[];
  readonly reference: readonly number[];
  readonly onnxruntime: readonly number[] | null;
  readonly agree: boolean;
}
export interface VerifyResult {
  readonly schema: 'wafc.verify/1';
  readonly plan: string;
  readonly passed: boolean;
  readonly checks: readonly Diagnostic[];
  readonly ops: readonly OpDifference[];
  readonly outputs: readonly OutputDifference[];
  /** The first op whose result left its bound. */
  readonly firstOut: OpDifference | null;
  readonly generation: Generation | null;
}
