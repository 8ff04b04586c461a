/** What flows from pass to pass: the graph, the target, and facts beside it that die when a pass does not keep them. */
import type { Graph } from './graph.ts';
import type { OpId, ValueId } from './ids.ts';
import type { RegionProgram } from './program.ts';
import type { Routing } from './routing.ts';
import type { Target } from './target.ts';

/** What a graph input or output means to the host. */
export type IoRole =
  /** Token ids, [B,S] integers (also token types). */
  | { readonly kind: 'tokens' }
  | { readonly kind: 'positions' }
  /** [B, P+S], 0 = do not attend. */
  | { readonly kind: 'mask' }
  /** Past of cache `cache`, [B,KVH,P,hd]; its present is an output of role present. */
  | { readonly kind: 'past'; readonly cache: number }
  | { readonly kind: 'present'; readonly cache: number }
  /** A value bound at compile time (`use_cache_branch`). */
  | { readonly kind: 'bound' }
  /** Anything else: handed to the graph as it is. */
  | { readonly kind: 'plain' };

/** How the model is run, fixed at compile time. */
export interface RunMode {
  /** `stream`: one token a step with resident KV; `whole`: the whole sequence at once. */
  readonly kind: 'stream' | 'whole';
  readonly batch: number;
  /** Longest past + step (stream), or the sequence length (whole). */
  readonly context: number;
}

/** One instance of a template: consecutive ops of the graph. */
export interface Stage {
  readonly name: string;
  /** Index into Stages.templates. */
  readonly template: number;
  readonly ops: readonly OpId[];
  /** Values that enter, in the template's order; from an earlier stage or from the host. */
  readonly inputs: readonly ValueId[];
  readonly outputs: readonly ValueId[];
  /** Constants, in the template's order. */
  readonly weights: readonly ValueId[];
}
export interface Template {
  readonly name: string;
  /** Index of the stage whose ops stand for all instances. */
  readonly exemplar: number;
}
export interface Stages {
  /** Ops the host runs for a call: index, position, mask and rope-angle arithmetic. */
  readonly host: readonly OpId[];
  readonly stages: readonly Stage[];
  readonly templates: readonly Template[];
}

/** A rectangle of cores that holds one or more consecutive stages, in program coordinates of the target. */
export interface Region {
  readonly stages: readonly number[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /**
   * Columns and rows of the fabric, ascending, that the region passes over because a core there must not be used; its
   * own columns and rows are the next ones that are left. Absent = none.
   */
  readonly skippedColumns?: readonly number[];
  readonly skippedRows?: readonly number[];
}
/** One program per template; regions that hold the template have the program's shape. */
export interface Mapping {
  readonly programs: readonly RegionProgram[];
  /** Stage groups in order, each to become one region. */
  readonly groups: readonly (readonly number[])[];
  /** Equal blocks of the fabric, a copy of the model each; one block when absent. */
  readonly copies?: { readonly columns: number; readonly rows: number };
}
export interface Placement {
  /** Of the first copy of the model. */
  readonly regions: readonly Region[];
  /** Offsets of further copies, region by region the same; none when absent. */
  readonly replicas?: readonly { readonly x: number; readonly y: number }[];
}

/** One buffer of a core's SRAM, in bytes. */
export interface Buffer {
  readonly name: string;
  readonly kind: 'code' | 'stack' | 'weight' | 'kv' | 'activation' | 'receive';
  readonly offset: number;
  readonly bytes: number;
  /** Position in the program's op list at which the buffer is first and last live; [0, ops] for residents. */
  readonly live: readonly [number, number];
}
/** SRAM map of the fullest core of each region group (index as in Mapping.groups). */
export interface Memory {
  readonly maps: readonly { readonly buffers: readonly Buffer[]; readonly peakBytes: number }[];
}

/** One op of a template in a step: when it starts, what it takes, what nothing could beat. */
export interface ScheduledOp {
  readonly op: number;
  readonly start: number;
  readonly cycles: number;
  readonly bound: number;
  readonly boundBy: 'compute' | 'sram' | 'latency' | 'bandwidth';
  /** Of collectives. */
  readonly algorithm?: string;
  /** Those of `cycles` that writing routes and queues takes before the op. */
  readonly reset?: number;
}
/** Predicted cycles of a step (a token in stream mode, a sequence in whole mode); see src/cost. */
export interface Schedule {
  readonly perTemplate: readonly (readonly ScheduledOp[])[];
  /** By stage: cycles it takes less than its template by itself, since its first vector operations go on where those of the stage before, on the same region, end. */
  readonly joined: readonly number[];
  /** Activations from region to region: one entry per transport of kind `send`. */
  readonly sends: readonly {
    readonly from: number;
    readonly to: number;
    readonly cycles: number;
    readonly bound: number;
  }[];
  /** Bytes between host and mesh per step, and cycles that they take on the mesh (part of `cyclesPerStep`). */
  readonly host: {
    readonly bytesIn: number;
    readonly bytesOut: number;
    readonly cyclesIn: number;
    readonly cyclesOut: number;
  };
  /** On the mesh, without the host's link. */
  readonly cyclesPerStep: { readonly calibrated: number; readonly bound: number };
}

export const FACTS = ['stages', 'mapping', 'placement', 'memory', 'routing', 'schedule'] as const;
export type Fact = (typeof FACTS)[number];

export interface Program {
  readonly graph: Graph;
  readonly target: Target;
  readonly mode: RunMode;
  readonly roles: ReadonlyMap<string, IoRole>;
  /** Windows of token ids for passes that look at what the model computes; absent when there are none. */
  readonly calibration?: readonly Int32Array[];
  readonly stages?: Stages;
  readonly mapping?: Mapping;
  readonly placement?: Placement;
  readonly memory?: Memory;
  readonly routing?: Routing;
  readonly schedule?: Schedule;
}
export type With<F extends Fact> = Program & { readonly [K in F]-?: NonNullable<Program[K]> };

/** The program with only the facts of `keep`. */
export function keepFacts(program: Program, keep: readonly Fact[]): Program {
  const { graph, target, mode, roles, calibration } = program;
  const kept: Partial<Pick<Program, Fact>> = {};
  for (const fact of keep) if (program[fact] !== undefined) Object.assign(kept, { [fact]: program[fact] });
  return { graph, target, mode, roles, ...(calibration === undefined ? {} : { calibration }), ...kept };
}
