/** The index family: picking elements by index or condition, and writing elements by index. */
import * as gather from './gather.ts';
import type { OpDef } from './op.ts';
import * as scatter from './scatter.ts';
import * as select from './select.ts';

export const ops: readonly OpDef[] = [...gather.ops, ...scatter.ops, ...select.ops];
