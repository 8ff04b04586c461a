/**
 * A machine: a mesh of equal cores, some unusable. Loaded from targets/*.json (or a user's file) and validated;
 * units stand in the names; every number has its source beside it in the file.
 */
import type { DType } from './types.ts';

export interface Target {
  readonly name: string;
  readonly summary: string;
  /** Program rectangle: cores a plan may use, after what the system itself takes. */
  readonly width: number;
  readonly height: number;
  /** Cores in the rectangle that must not be used, as rectangles. */
  readonly defects: readonly {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  }[];
  /** Bytes of a core a program may use, code and stack included. */
  readonly sramBytes: number;
  readonly reservedCodeBytes: number;
  readonly reservedStackBytes: number;
  /** Every buffer starts at a multiple of this. */
  readonly alignBytes: number;
  /**
   * Bytes after which words lie in the same banks again. Two operands are read at once at full rate where they start half of
   * it apart; absent: the machine has no such rule.
   */
  readonly bankBytes?: number;
  readonly clocksGHz: readonly number[];
  /** Multiply-accumulates per cycle by operand type; a type that is absent is unpacked to f16 first. */
  readonly macsPerCycle: Readonly<Partial<Record<DType, number>>>;
  /** Elements per cycle of elementwise operations. */
  readonly simdPerCycle: Readonly<Partial<Record<DType, number>>>;
  /** Elements per cycle that unpacking a storage-only type (i8, i4) costs. */
  readonly unpackPerCycle: number;
  readonly sramReadBytesPerCycle: number;
  readonly hopCycles: number;
  /** T_R, cycles from core to router or back. */
  readonly rampCycles: number;
  /** Payload bytes of a wavelet; one wavelet crosses a link per cycle and direction. */
  readonly waveletBytes: number;
  readonly colors: {
    readonly usable: readonly number[];
    readonly switchable: readonly number[];
    /** Whether a switch position may change both where a router receives from and where it sends to; absent: it may. */
    readonly switchesBoth?: boolean;
  };
  readonly queues: {
    readonly input: number;
    readonly output: number;
    /** Whether several colors may share an output queue; absent: each queue is bound to one color. */
    readonly outputsShared?: boolean;
  };
  /** Cycles in which a core writes one route and binds its queue while a program runs; absent: see cost/constants.ts. */
  readonly routeResetCycles?: number;
  /** Whether the router of a defect still passes on what crosses it; absent: it does not. */
  readonly defectsForward?: boolean;
  /** Host link, and the latency of one transfer. */
  readonly host: { readonly gigabitsPerSecond: number; readonly latencyMicroseconds: number };
  /** By field name: where the number is from; 'assumed: why' is allowed, silence is not. */
  readonly sources: Readonly<Record<string, string>>;
}
