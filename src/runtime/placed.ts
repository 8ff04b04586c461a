/** The placed side of an emitted executor: region programs, written op by op, and the stages that run them core by core. */
import { closeSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail } from '../diag/diagnostic.ts';
import { type CallOptions, type HostProgram, PlacedModel, type PlacedPlan } from '../exec/placed/model.ts';
import { bytesSource, denseConstant, elementCount } from '../ir/constant.ts';
import type { MeshAxis, ProgramOp, ProgramTensor, RegionProgram, T, TensorRole, Woven } from '../ir/program.ts';
import { bytesFor, type DType } from '../ir/types.ts';
import { readConstant } from '../tensor/read.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Tensors } from './model.ts';
import { parseType } from './op.ts';

/** Writes a region program down. */
export interface RegionBuilder {
  /** A tensor by its role, its name and its layout: `f32[1,64]{1@y, rep x}`. */
  tensor(role: TensorRole, name: string, layout: string, more?: Pick<ProgramTensor, 'coding' | 'sparsity'>): T;
  run(op: ProgramOp): void;
}

/** What a region program says beside its tensors and ops. */
type Interface = Omit<RegionProgram, 'shape' | 'tokens' | 'context' | 'tensors' | 'ops'>;

/** A region program: what one core does, for all cores of a rectangle. */
export function region(
  size: Pick<RegionProgram, 'shape' | 'tokens' | 'context'>,
  write: (builder: RegionBuilder) => Interface,
): RegionProgram {
  const tensors: ProgramTensor[] = [];
  const ops: ProgramOp[] = [];
  const rest = write({
    tensor: (role, name, layout, more = {}) => tensors.push({ name, role, ...parseLayout(layout), ...more }) - 1,
    run: (op) => void ops.push(op),
  });
  return { ...size, tensors, ops, ...rest };
}

/** Reads what `printLayout` writes. @throws Diagnosed `runtime/type` */
export function parseLayout(text: string): Pick<ProgramTensor, 'dtype' | 'shape' | 'layout'> {
  const refuse = (): never =>
    fail({ code: 'runtime/type', message: `expected a layout as f32[1,64]{1@y, rep x}, found ${text}` });
  const parts = /^([^{]*)\{(.*)\}$/.exec(text) ?? refuse();
  const { dtype, shape } = parseType(parts[1]);
  const sizes = shape.map((d) => (typeof d === 'number' ? d : refuse()));
  const dims: MeshAxis[][] = sizes.map(() => []);
  let partial: ProgramTensor['layout']['partial'] = null;
  let cyclic = false;
  let woven: Woven | undefined;
  for (const item of parts[2].split(', ').filter((word) => word !== '' && !word.startsWith('rep '))) {
    const cut = /^(\d+)@((?:xo|xi|x|y)+)(%?)(?:~(\d+)x(\d+))?$/.exec(item);
    const owed = /^partial\((sum|max|softmax|moments)\)@((?:xo|xi|x|y)+)$/.exec(item);
    if (cut !== null && Number(cut[1]) < dims.length) {
      dims[Number(cut[1])] = axesOf(cut[2]);
      cyclic ||= cut[3] === '%';
      if (cut[4] !== undefined) woven = { dim: Number(cut[1]), runs: Number(cut[4]), lanes: Number(cut[5]) };
    } else if (owed !== null && isCombine(owed[1])) partial = { combine: owed[1], axes: axesOf(owed[2]) };
    else refuse();
  }
  return { dtype, shape: sizes, layout: { dims, partial, ...(cyclic ? { cyclic } : {}), ...(woven ? { woven } : {}) } };
}

type Combine = NonNullable<ProgramTensor['layout']['partial']>['combine'];
const isCombine = (word: string): word is Combine =>
  word === 'sum' || word === 'max' || word === 'softmax' || word === 'moments';

/** `x` stands for its two parts together. */
const axesOf = (text: string): MeshAxis[] =>
  (text.match(/xo|xi|x|y/g) ?? []).flatMap((axis): MeshAxis[] =>
    axis === 'x' ? ['xo', 'xi'] : axis === 'xo' || axis === 'xi' || axis === 'y' ? [axis] : [],
  );

/** A part of the model that the host runs, on tensors by name. */
export const host = (inputs: HostProgram['inputs'], run: (inputs: Tensors) => Tensors): HostProgram => ({
  inputs,
  run: (feeds) => new Map(Object.entries(run(Object.fromEntries(feeds)))),
});

/** A reader of constants in the weights.bin beside the module at `url`; each is read once. */
export function openBlobs(
  url: string,
): (stored: DType, shape: readonly number[], offset: number, as?: DType) => Tensor {
  const path = fileURLToPath(new URL('weights.bin', url));
  const held = new Map<number, Tensor>();
  return (stored, shape, offset, as = stored) => {
    const known = held.get(offset);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(bytesFor(stored, elementCount(shape)));
    const fd = openSync(path, 'r');
    try {
      if (readSync(fd, bytes, 0, bytes.length, offset) !== bytes.length)
        fail({ code: 'plan/truncated', message: `${path} ends before byte ${offset + bytes.length}` });
    } finally {
      closeSync(fd);
    }
    const value = readConstant({ ...denseConstant(stored, shape, bytesSource('weights.bin', bytes)), dtype: as });
    held.set(offset, value);
    return value;
  };
}

/** A placed model whose tiles are in the weights.bin beside the module at `url`, read when it is first run. */
export interface Placed {
  /** Runs the model; see `PlacedModel.call` for what may stay on the cores between calls. */
  run(inputs: Tensors, options?: CallOptions): Tensors;
  /** The model itself, for what `run` does not do. */
  open(): PlacedModel;
  /** Positions that a sequence can have. */
  readonly context: number;
}

export function openPlaced(url: string, plan: PlacedPlan): Placed {
  let model: PlacedModel | undefined;
  const open = (): PlacedModel => (model ??= new PlacedModel(plan, dirname(fileURLToPath(url))));
  return {
    open,
    context: plan.mode.context,
    run: (inputs, options = {}) => Object.fromEntries(open().call(new Map(Object.entries(inputs)), options)),
  };
}
