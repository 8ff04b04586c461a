/**
 * The plan: what `wafc compile` writes and every other tool reads. plan.json is this interface; schemas/plan.schema.json
 * describes it. Bytes of weights are in weights.bin beside it.
 */
import type { Memory, Region, RunMode, Schedule, IoRole } from '../ir/facts.ts';
import type { RegionProgram } from '../ir/program.ts';
import type { Routing } from '../ir/routing.ts';
import type { Target } from '../ir/target.ts';
import type { DType } from '../ir/types.ts';

export const PLAN_SCHEMA = 'wafc.plan/1';

/** A range of weights.bin; sha256 is null in a plan made without weights. */
export interface Blob {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
  readonly sha256: string | null;
}

export interface PlanIo {
  readonly name: string;
  readonly dtype: DType;
  /** Dims as numbers or expressions of B, S, P. */
  readonly shape: readonly (number | string)[];
  readonly role: IoRole;
}

export interface PlanStage {
  readonly name: string;
  readonly template: number;
  readonly region: number;
  /** Value names, in the order of the template's program. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Graph values that the program's results are, in order. */
  readonly values: readonly string[];
  /** In the order of the program's weights; tiles in core order (see ARCHITECTURE.md, weights.bin). */
  readonly weights: readonly Blob[];
}

export interface Plan {
  readonly schema: typeof PLAN_SCHEMA;
  readonly generator: string;
  readonly model: { readonly name: string; readonly sha256: string; readonly parameters: number; readonly ops: number };
  readonly options: Readonly<Record<string, unknown>>;
  readonly mode: RunMode;
  readonly target: Target;
  readonly inputs: readonly PlanIo[];
  readonly outputs: readonly PlanIo[];
  /** Graphs in .wir text that the host runs before and after the wafer, and their constants. */
  readonly host: { readonly before: string; readonly after: string; readonly constants: readonly Blob[] };
  readonly templates: readonly { readonly name: string; readonly program: RegionProgram }[];
  readonly stages: readonly PlanStage[];
  readonly regions: readonly Region[];
  /** Further copies of the model: what is added to the place of each region. They read the same tiles. */
  readonly replicas: readonly { readonly x: number; readonly y: number }[];
  /** By region: the SRAM map of its fullest core. */
  readonly memory: Memory['maps'];
  readonly routing: Routing;
  readonly schedule: Schedule;
  /** weights.bin; `zeros`: elements of the stages' weights that are zero, null in a plan made without weights. */
  readonly weights: { readonly bytes: number; readonly sha256: string | null; readonly zeros: number | null };
}
