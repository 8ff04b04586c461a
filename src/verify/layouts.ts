/**
 * Whether operands lie as an op reads them, from the meaning of ops in src/ir/program.ts: a tile on other cores than those
 * that need it is found without running anything. Ops that move data inside a core (heads, features, positions) are a
 * question for the executors.
 *
 * D1: a product meets rows of its weight where the activation is, leaves columns where the weight has them, and owes the sum
 * D2: operands of ops that work element by element, and their result, are cut alike; gains and biases as the features
 * D3: a collective pays what is owed over its axes, gathers or scatters over them, and leaves all else where it is
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { CollectiveOp, MeshAxis, ProgramOp, ProgramTensor, RegionProgram, RegionShape, T } from '../ir/program.ts';
import { brokenRoute as broken } from './routed.ts';

/** Everything that lies where its op does not find it; empty when all is in place. */
export function verifyLayouts(
  programs: readonly { readonly name: string; readonly program: RegionProgram }[],
): Diagnostic[] {
  return programs.flatMap(({ name, program }) =>
    program.ops.flatMap((op, o) =>
      faultsOf(op, program).map(({ rule, message }) =>
        broken(rule, `op ${o} (${op.op}): ${message}`, `template ${name}`),
      ),
    ),
  );
}

interface Fault {
  readonly rule: 'D1' | 'D2' | 'D3';
  readonly message: string;
}

function faultsOf(op: ProgramOp, program: RegionProgram): Fault[] {
  const { shape } = program;
  const tensor = (t: T): ProgramTensor => program.tensors[t];
  const given = (t: T | null): T[] => (t === null ? [] : [t]);
  /** Features of tensors cut alike. */
  const alike = (rule: Fault['rule'], a: T, others: readonly T[]): Fault[] =>
    others.flatMap((b) => {
      // One element of a token, used for all its features.
      if (tensor(b).shape.at(-1) === 1 || tensor(a).shape.at(-1) === 1) return [];
      const [is, as] = [features(tensor(b), shape), features(tensor(a), shape)];
      return is === as ? [] : [{ rule, message: `${tensor(b).name} is cut ${is}, ${tensor(a).name} ${as}` }];
    });
  switch (op.op) {
    case 'gemv':
      return op.weights.flatMap((w, i) => product(tensor(op.x), tensor(w), tensor(op.outputs[i]), shape));
    case 'embed':
      return owes(tensor(op.out), cut(tensor(op.table), 0, shape), shape).concat(alike('D1', op.table, [op.out]));
    case 'unary':
      return alike('D2', op.x, [op.out]);
    case 'binary':
      return alike('D2', op.out, [op.a, op.b]);
    case 'rms_apply':
      return alike('D2', op.x, [...given(op.gamma), op.out]);
    case 'layer_apply':
      return alike('D2', op.x, [...given(op.gamma), ...given(op.beta), op.out]);
    case 'rms_scale':
      return op.inputs.flatMap((t, i) => alike('D2', t, [op.outputs[i]]));
    case 'all_reduce':
    case 'reduce_scatter':
    case 'all_gather':
      return op.inputs.flatMap((t, i) => collective(op, tensor(t), tensor(op.outputs[i]), shape));
    default:
      return [];
  }
}

/** Axes that cut a dim and have more than one core: `y.xi`; and in which order its elements stand. */
function cut({ layout }: ProgramTensor, dim: number, shape: RegionShape): string {
  return (layout.dims[dim] ?? []).filter((axis) => sizeOf(shape, axis) > 1).join('.') || 'not';
}

function order({ layout }: ProgramTensor, dim: number): string {
  const { woven } = layout;
  return woven?.dim === dim && woven.lanes > 1 ? ` in ${woven.runs} runs of ${woven.lanes} lanes` : '';
}

/** How the last dim is cut; one of a single element is whole wherever it is. */
function features(tensor: ProgramTensor, shape: RegionShape): string {
  const last = tensor.shape.length - 1;
  return cut(tensor, last, shape) + order(tensor, last);
}

const sizeOf = ({ width, height, groups }: RegionShape, axis: MeshAxis): number =>
  axis === 'y' ? height : axis === 'xo' ? groups : width / groups;

const owed = ({ layout }: ProgramTensor, shape: RegionShape): MeshAxis[] =>
  (layout.partial?.axes ?? []).filter((axis) => sizeOf(shape, axis) > 1).sort();

function product(x: ProgramTensor, weight: ProgramTensor, out: ProgramTensor, shape: RegionShape): Fault[] {
  const found: Fault[] = [];
  const [rows, is] = [cut(weight, 0, shape) + order(weight, 0), features(x, shape)];
  if (rows !== is) found.push({ rule: 'D1', message: `rows of ${weight.name} are cut ${rows}, ${x.name} ${is}` });
  const [columns, as] = [features(weight, shape), features(out, shape)];
  if (columns !== as)
    found.push({ rule: 'D1', message: `columns of ${weight.name} are cut ${columns}, ${out.name} ${as}` });
  return [...found, ...owes(out, cut(weight, 0, shape), shape)];
}

/** A sum over the axes that cut what was added up. */
function owes(out: ProgramTensor, rows: string, shape: RegionShape): Fault[] {
  const [axes, expected] = [owed(out, shape).join('.') || 'not', rows.split('.').sort().join('.')];
  return axes === expected
    ? []
    : [{ rule: 'D1', message: `${out.name} owes a sum over ${axes}, expected ${expected}` }];
}

function collective(op: CollectiveOp, from: ProgramTensor, to: ProgramTensor, shape: RegionShape): Fault[] {
  const axes = op.axes.filter((axis) => sizeOf(shape, axis) > 1);
  const fault = (message: string): Fault => ({ rule: 'D3', message: `${to.name} ${message}` });
  const found: Fault[] = [];
  const before = owed(from, shape);
  const after = op.op === 'all_gather' ? before : before.filter((axis) => !axes.includes(axis));
  if (owed(to, shape).join() !== after.join())
    found.push(fault(`owes ${owed(to, shape)} after ${before} over ${axes}, expected ${after}`));
  if (op.op !== 'all_gather' && before.length > 0 && axes.some((axis) => !before.includes(axis)))
    found.push(fault(`is reduced over ${axes}, and ${from.name} owes ${before} only`));
  for (const d of from.shape.keys()) {
    const [is, was] = [cut(to, d, shape), cut(from, d, shape)].map((text) => (text === 'not' ? [] : text.split('.')));
    const [long, short] = op.op === 'all_gather' ? [was, is] : [is, was];
    const grown = long.length > short.length ? [...short, ...axes] : short;
    const mayGrow = op.op !== 'all_reduce' && d === op.dim;
    if (long.join() !== (mayGrow ? grown : short).join())
      found.push(fault(`has dim ${d} cut ${is.join('.') || 'not'}, ${from.name} ${was.join('.') || 'not'}`));
  }
  return found;
}
