/**
 * Every diagnostic code, for `wafc explain`. Codes are stable: scripts match on them. A house test fails when the
 * source uses a code that is not here, or one here is used nowhere.
 */
import { COMPILE_CODES } from './codes/compile.ts';
import { COMPRESS_CODES } from './codes/compress.ts';
import { ONNX_CODES } from './codes/onnx.ts';
import { PLAN_CHECK_CODES } from './codes/plan-check.ts';
import { PLAN_CODES } from './codes/plan.ts';
import { ROUTE_CODES } from './codes/route.ts';
import { RUN_CODES } from './codes/run.ts';
import { TARGET_CODES } from './codes/target.ts';
import { TOOL_CODES } from './codes/tool.ts';

export interface CodeEntry {
  /** One line, no full stop. */
  readonly title: string;
  /** What happened and why it matters, in whole sentences. */
  readonly why: string;
  /** What the user can do. */
  readonly fix: string;
}
export type CodeTable = Readonly<Record<string, CodeEntry>>;

export const CODES: CodeTable = {
  ...ONNX_CODES,
  ...COMPILE_CODES,
  ...COMPRESS_CODES,
  ...PLAN_CODES,
  ...PLAN_CHECK_CODES,
  ...ROUTE_CODES,
  ...RUN_CODES,
  ...TARGET_CODES,
  ...TOOL_CODES,
};
