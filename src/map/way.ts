/**
 * Sharding rules. A rule says in which ways an op can be computed: what each way wants of the operands, and what it makes,
 * with what is owed. The search (layout-search.ts) chooses; collectives follow from wants (bring.ts).
 */
import type { Op } from '../ir/graph.ts';
import type { T } from '../ir/program.ts';
import type { Want } from './bring.ts';
import type { Draft } from './draft.ts';

export interface Way {
  /** Unique among the ways of an op in a draft, and stable. */
  readonly name: string;
  readonly wants: readonly Want[];
  /** Emits the op on operands that lie as wanted, and binds its outputs. */
  readonly make: (s: Draft, operands: readonly T[]) => void;
}

/** All ways to go on from `s` with `op`; never empty. Throws Diagnosed `map/..` for an op that no region computes. */
export type Rule = (s: Draft, op: Op) => Way[];
