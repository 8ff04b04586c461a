/** One stage on its region: tiles of every tensor, and the program run core by core, collectives in mesh order. */
import { isCollective, type RegionProgram } from '../../ir/program.ts';
import { roundTo } from '../../tensor/pack.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { runCollective } from './collectives.ts';
import { runCompute, type StepState } from './compute.ts';
import { type Cores, coresOf, elementAt, type Spread, spread } from './geometry.ts';

/** Scratch tiles of a template: shared by its stages, which never run at the same time here. */
export interface Workspace {
  readonly program: RegionProgram;
  readonly cores: Cores;
  readonly tensors: readonly (Spread | null)[];
}

export function workspaceOf(program: RegionProgram): Workspace {
  const cores = coresOf(program.shape);
  const own = (role: string): boolean => role === 'weight' || role === 'state';
  return { program, cores, tensors: program.tensors.map((t) => (own(t.role) ? null : spread(cores, t))) };
}

/** A stage's resident tiles: weights, and one set of states per sequence of the batch. */
export interface StageTiles {
  readonly name: string;
  readonly workspace: Workspace;
  readonly weights: ReadonlyMap<number, Spread>;
  /** By sequence of the batch. */
  readonly states: readonly ReadonlyMap<number, Spread>[];
}

/** Called after every op with its result, gathered from the cores that hold it. */
export type Observe = (stage: string, op: number, tensor: number, value: () => Tensor) => void;

/** Runs one step of a stage. Inputs are already spread (see `put`); outputs are read with `take`. */
export function runStage(tiles: StageTiles, sequence: number, state: StepState, observe?: Observe): void {
  const { program, cores, tensors } = tiles.workspace;
  // Looked up once a stage: ops ask for their tiles on every core.
  const spreads = program.tensors.map(({ name }, t): Spread => {
    const found = tensors[t] ?? tiles.weights.get(t) ?? tiles.states[sequence].get(t);
    if (found === undefined) throw new Error(`stage ${tiles.name}: tensor ${name} has no tiles`);
    return found;
  });
  const of = (t: number): Spread => spreads[t];
  for (const [i, op] of program.ops.entries()) {
    if (isCollective(op)) runCollective(op, cores, of);
    else for (let core = 0; core < cores.count; core++) runCompute(op, core, of, state);
    if (op.op === 'append') roundState(of(op.state));
    if (observe) {
      const results = 'outputs' in op ? op.outputs : 'out' in op ? [op.out] : [];
      for (const t of results)
        if (program.tensors[t].layout.partial === null) observe(tiles.name, i, t, () => take(cores, of(t)));
    }
  }
}

/** A state of a narrow type holds values of that type. */
export function roundState(state: Spread): void {
  const { dtype } = state.tensor;
  if (dtype !== 'f32' && dtype !== 'u8' && dtype !== 'i8') roundTo(dtype, state.data);
}

/** Spreads a whole tensor over the cores that hold it, replicas included. */
export function put(cores: Cores, to: Spread, values: ArrayLike<number>): void {
  const { shape } = to.tensor;
  const width = shape.length === 1 ? 1 : shape[1];
  const featureRange = to.ranges[1];
  for (let core = 0; core < cores.count; core++) {
    const n = featureRange === undefined ? 1 : featureRange.size[core];
    const start = featureRange === undefined ? 0 : featureRange.start[core];
    for (let t = 0; t < to.ranges[0].size[core]; t++) {
      const row = to.ranges[0].start[core] + t;
      for (let i = 0; i < n; i++) to.data[core * to.stride + t * n + i] = values[row * width + start + i];
    }
  }
}

/** The whole tensor; where it is replicated, the first core that holds a part gives it. */
export function take(cores: Cores, from: Spread): Tensor {
  const { shape } = from.tensor;
  const rest = from.ranges.slice(2).reduce((n, r) => n * r.max, 1);
  const width = (shape.length === 1 ? 1 : shape[1]) * rest;
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const [rowRange, featureRange] = from.ranges;
  const { woven } = from.tensor.layout;
  for (let core = cores.count - 1; core >= 0; core--) {
    const n = (featureRange === undefined ? 1 : featureRange.size[core]) * rest;
    const start = (featureRange === undefined ? 0 : featureRange.start[core]) * rest;
    for (let t = 0; t < rowRange.size[core]; t++) {
      const source = core * from.stride + t * n;
      const to = (rowRange.start[core] + t) * width;
      if (woven === undefined) data.set(from.data.subarray(source, source + n), to + start);
      else for (let i = 0; i < n; i++) data[to + elementAt(start + i, width, woven)] = from.data[source + i];
    }
  }
  return { dtype: 'f32', shape, data };
}

/** Row `position` of a cyclic state: from or to the cores that own it. */
export function eachOwned(
  cores: Cores,
  state: Spread,
  position: number,
  visit: (at: number, start: number, count: number, core: number) => void,
): void {
  const { dealt } = state;
  if (dealt === null) throw new Error(`state ${state.tensor.name} is not dealt over cores`);
  const row = Math.floor(position / dealt.owners);
  for (let core = 0; core < cores.count; core++) {
    if (dealt.owner[core] !== position % dealt.owners) continue;
    const n = state.ranges.length === 1 ? 1 : state.ranges[1].size[core];
    const start = state.ranges.length === 1 ? 0 : state.ranges[1].start[core];
    visit(core * state.stride + row * n, start, n, core);
  }
}
