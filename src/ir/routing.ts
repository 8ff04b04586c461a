/**
 * Routes of a plan: what every router does on every color, as runs of equal cores. The meaning of each field, and
 * what each algorithm asks of senders and receivers, is in ARCHITECTURE.md, "Routing".
 */

/** Directions of a router: N = row above, S = row below, W and E = column before and after, R = ramp to its own core. */
export type Port = 'N' | 'E' | 'S' | 'W' | 'R';

/**
 * A set of columns or of rows: `start`, then pairs of count and period, innermost first. `[3]` is 3; `[0, 4, 1]` is
 * 0 1 2 3; `[1, 3, 2]` is 1 3 5; `[0, 2, 1, 3, 10]` is 0 1 10 11 20 21. A period is larger than the extent of what
 * it repeats.
 */
export type Span = readonly number[];

/** Cores (column of `columns`, row of `rows`) whose routers are configured alike for one flow. */
export interface RouteRun {
  readonly columns: Span;
  readonly rows: Span;
  /** By switch position: one port it receives from, `>`, the ports it sends to, in the order N E S W R: `W>ER`. */
  readonly routes: readonly string[];
  /** Input queue bound to the color where a route sends to R, output queue where one receives from R; else null. */
  readonly input: number | null;
  readonly output: number | null;
}

/** Messages of one kind on one color: one configuration of all routers they cross. Its runs are disjoint. */
export interface Flow {
  readonly color: number;
  readonly runs: readonly RouteRun[];
}

/** Lines that a phase runs along: all cores of a column, of a row, of a group's part of a row; or one core of each group. */
export type LineAxis = 'y' | 'x' | 'xi' | 'xo';

/** A collective along one kind of line. A collective over rows and columns is two phases, `y` first. */
export interface Phase {
  /** Position in the template's op list. */
  readonly op: number;
  readonly axis: LineAxis;
  readonly algorithm: string;
  /** Cores of a group; 0 where the algorithm has none. */
  readonly group: number;
  /** What the fullest core of a line contributes. */
  readonly wavelets: number;
  /** Flows of the class, in the order that the algorithm names them; -1 = not needed on a line so short. */
  readonly flows: readonly number[];
  /** Flows whose routes and queues every core of them writes before the phase begins. */
  readonly loads: readonly number[];
}

/** Templates that meet in regions, and the routes inside these regions, in columns and rows of the region. */
export interface RouteClass {
  readonly templates: readonly number[];
  readonly flows: readonly Flow[];
  /** As `templates`: phases in the order of the program. */
  readonly phases: readonly (readonly Phase[])[];
}

/** Values that enter the fabric, go from region to region, or leave it, once a step. */
export interface Transport {
  readonly kind: 'input' | 'send' | 'output';
  /** Regions; null = the host. */
  readonly from: number | null;
  readonly to: readonly number[] | null;
  /** Names of the values, in the order they travel. */
  readonly values: readonly string[];
  readonly algorithm: 'tree' | 'lanes' | 'columns' | 'bus' | 'relay-bus';
  /** Positions in `Routing.flows`. */
  readonly flows: readonly number[];
  /** Cores that send, as columns and rows of the fabric; none where the host does. */
  readonly senders: readonly { readonly columns: Span; readonly rows: Span }[];
  /** Over the busiest link of the transport. */
  readonly wavelets: number;
  /** Links of the longest way. */
  readonly hops: number;
  /** Cores that pass a message on, one after another. */
  readonly depth: number;
}

export interface Routing {
  /** Of transports, in columns and rows of the fabric. They are configured when the plan is loaded, and stay. */
  readonly flows: readonly Flow[];
  readonly transports: readonly Transport[];
  readonly classes: readonly RouteClass[];
}
