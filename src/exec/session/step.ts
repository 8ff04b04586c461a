/** A step of a session: one op, planned for the shapes of now. */
import type { Op } from '../../ir/graph.ts';
import type { KernelMemory } from '../../kernels/memory.ts';
import type { AttrReader, OpDef, RunContext } from '../../ops/op.ts';
import type { TensorData } from '../../tensor/tensor.ts';
import type { Products } from './parallel.ts';
import type { Slot } from './slot.ts';
import type { Weights } from './weights.ts';

export interface Step {
  readonly op: Op;
  readonly inputs: readonly (Slot | null)[];
  readonly outputs: readonly (Slot | null)[];
  /** What its bodies read of the graph around them, by name. */
  readonly captured: ReadonlyMap<string, Slot>;
  /** Inputs and captured values that are there. */
  readonly reads: readonly Slot[];
  readonly attrs: AttrReader;
  readonly def: OpDef;
  readonly planner: Planner | undefined;
  /** Shapes, places or known values it was planned for have changed. */
  dirty: boolean;
  /** What is to be done in every call; null for nothing. */
  run: (() => void) | null;
}

/** A piece of kernel memory of a step's own. */
export interface Scratch {
  readonly at: number;
  readonly data: Float32Array;
}

/** What planners work with. */
export interface Workshop {
  /** Undefined where kernels cannot run: then there are no weights in it either. */
  readonly memory: KernelMemory | undefined;
  readonly weights: Weights | undefined;
  /** A dense place for what a step computes into `slot`. */
  output(slot: Slot, shape: readonly number[]): TensorData;
  /** Kernel memory that stays with the step, by name; undefined when it is full. */
  scratch(step: Step, name: string, bytes: number): Scratch | undefined;
  /** The op's registry context; elements of slots that are not known must not be read. */
  context(step: Step): RunContext;
  /** Reads the elements of a constant that nobody has read yet. */
  load(slot: Slot): void;
  /** A constant, or made of constants alone. */
  isFixed(slot: Slot): boolean;
  /** Whether one step reads it, and nobody else sees it. */
  isPrivate(slot: Slot): boolean;
  /** `product` computes what `add` would; null: nobody's. */
  fuse(product: Step, add: Step | null): void;
  /** Products, on several threads where that pays; undefined without kernels. */
  readonly products: Products | undefined;
}

/**
 * Plans a step: places its outputs, and gives what is to be done in every call (null: nothing, the outputs are views).
 * Undefined when the planner has nothing better than the op's own kernel.
 */
export type Planner = (step: Step, workshop: Workshop) => (() => void) | null | undefined;
