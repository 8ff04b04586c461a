/** What verify finds, as data: `wafc verify --json`. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Agreement, Difference } from '../exec/compare.ts';

/** One op of one stage: the placed result against the reference's. */
export interface OpDifference extends Agreement {
  readonly stage: string;
  readonly node: string;
  /** For maxRel. */
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
/** Teacher-forced: each token of the text is predicted from the text before it. */
export interface PerplexityResult {
  readonly text: string;
  readonly tokenizer: string;
  /** Windows, and predictions in each. */
  readonly windows: number;
  readonly window: number;
  /** By the reference executor, over all windows; nll in nats a token. */
  readonly reference: { readonly predictions: number; readonly nll: number; readonly perplexity: number };
  /** Core by core, over the first window, beside the reference on the same tokens. */
  readonly placed: { readonly predictions: number; readonly nll: number; readonly referenceNll: number };
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
  readonly perplexity: PerplexityResult | null;
}
