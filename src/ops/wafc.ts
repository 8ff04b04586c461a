/**
 * wafc's own ops, to which the graph passes lift a model. Activations are [B, S, F] with the features flattened;
 * what ONNX says in a dozen ops of shape arithmetic is one op here. Other elementwise ops at this level are ONNX's.
 */
import * as attention from './wafc-attention.ts';
import * as features from './wafc-features.ts';
import * as host from './wafc-host.ts';
import type { OpDef } from './op.ts';
import * as norm from './wafc-norm.ts';
import * as round from './wafc-round.ts';

export const ops: readonly OpDef[] = [...features.ops, ...norm.ops, ...attention.ops, ...host.ops, ...round.ops];
