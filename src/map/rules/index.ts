/** Sharding rules by op kind. */
import type { Rule } from '../way.ts';
import { attention } from './attention.ts';
import { ELEMENTWISE_RULES, elementwise } from './elementwise.ts';
import { features, token } from './features.ts';
import { embedding, linear } from './linear.ts';
import { norm, rope } from './norm.ts';
import { round } from './round.ts';

const RULES: Readonly<Record<string, Rule>> = {
  'wafc.embedding': embedding,
  'wafc.linear': linear,
  'wafc.rmsnorm': norm,
  'wafc.layernorm': norm,
  'wafc.rope': rope,
  'wafc.round': round,
  'wafc.attention': attention,
  'wafc.slice': features,
  'wafc.select': features,
  'wafc.concat': features,
  'wafc.tokens': token,
};

/** Whether a region can compute the op kind, in the forms that its rule takes. */
export const hasRegionRule = (kind: string): boolean => Object.hasOwn(RULES, kind) || ELEMENTWISE_RULES.has(kind);

export const ruleFor = (kind: string): Rule => (Object.hasOwn(RULES, kind) ? RULES[kind] : elementwise);
