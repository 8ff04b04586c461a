/** The view family: ops whose outputs are elements of their data inputs, moved, repeated or dropped. */
import * as arrange from './view-arrange.ts';
import * as join from './view-join.ts';
import type { OpDef } from './op.ts';
import * as shape from './view-shape.ts';
import * as slice from './view-slice.ts';

export const ops: readonly OpDef[] = [...shape.ops, ...arrange.ops, ...slice.ops, ...join.ops];
