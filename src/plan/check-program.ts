/** What a region program must say beyond its form: every index in range, every layout of its tensor's rank, sane sizes. */
import {
  type Layout,
  type ProgramOp,
  type ProgramTensor,
  type RegionProgram,
  type RegionShape,
  type T,
} from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { DTYPE_BITS, isFloat } from '../ir/types.ts';
import { MAX_CORES } from '../target/check.ts';
import type { Findings } from './findings.ts';

/** Elements of one tensor over a region. assumed: 2^34 is some 30 times the largest matrix of published models. */
const MAX_ELEMENTS = 2 ** 34;

/** Elements of a tile that is stored without its zeros, as a multiple of those that a core would have room for. assumed: less than 1 in 64 is left. */
const MOST_SPARSE = 64;

/** Fields that name tensors, by op. `null` is allowed where the schema allows it. */
const TENSOR_FIELDS: Readonly<Record<ProgramOp['op'], readonly string[]>> = {
  embed: ['table', 'index', 'out'],
  gemv: ['x', 'weights', 'outputs'],
  unary: ['x', 'out'],
  binary: ['a', 'b', 'out'],
  abs_max: ['x', 'out'],
  sum_squares: ['x', 'out'],
  moments: ['x', 'out'],
  rms_apply: ['x', 'sums', 'gamma', 'out'],
  rms_scale: ['inputs', 'sums', 'outputs'],
  layer_apply: ['x', 'moments', 'gamma', 'beta', 'out'],
  rope: ['x', 'cos', 'sin', 'out'],
  append: ['x', 'state', 'scales'],
  attend: ['q', 'keys', 'values', 'mask', 'keyScales', 'valueScales', 'stats', 'out'],
  scores: ['q', 'keys', 'keyScales', 'out'],
  mix: ['scores', 'values', 'mask', 'valueScales', 'stats', 'out'],
  softmax_finish: ['o', 'stats', 'out'],
  shard: ['x', 'out'],
  slice: ['x', 'out'],
  select: ['x', 'out'],
  concat: ['parts', 'out'],
  token: ['x', 'out'],
  all_reduce: ['inputs', 'outputs'],
  reduce_scatter: ['inputs', 'outputs'],
  all_gather: ['inputs', 'outputs'],
};

/** Adds to `found` what is wrong with the program at `path`. The schema holds. */
export function checkProgram(program: RegionProgram, path: string, target: Target, found: Findings): void {
  const { shape, tensors, ops } = program;
  if (shape.width * shape.height > MAX_CORES)
    found.add(
      'plan/range',
      `${path}/shape`,
      `expected at most ${MAX_CORES} cores, found ${shape.width} x ${shape.height}`,
    );
  if (shape.width % shape.groups !== 0)
    return found.add(
      'plan/range',
      `${path}/shape/groups`,
      `expected a divisor of the width ${shape.width}, found ${shape.groups}`,
    );
  for (const [t, tensor] of tensors.entries()) {
    checkCoding(tensor, `${path}/tensors/${t}`, found);
    checkSparsity(tensor, `${path}/tensors/${t}`, target, found);
    if (checkLayout(tensor, `${path}/tensors/${t}`, found))
      checkSize(tensor, shape, `${path}/tensors/${t}`, target, found);
  }
  for (const [i, op] of ops.entries()) checkOp(op, program, `${path}/ops/${i}`, found);
  checkInterface(program, path, found);
}

function checkLayout({ shape, layout }: ProgramTensor, path: string, found: Findings): boolean {
  if (layout.dims.length !== shape.length) {
    found.add(
      'plan/layout',
      `${path}/layout/dims`,
      `expected ${shape.length} entries as in the shape, found ${layout.dims.length}`,
    );
    return false;
  }
  const axes = [...layout.dims.flat(), ...(layout.partial?.axes ?? [])];
  const twice = axes.find((axis, i) => axes.indexOf(axis) !== i);
  if (twice !== undefined) found.add('plan/layout', `${path}/layout`, `expected every axis once, found ${twice} twice`);
  if (layout.cyclic && shape.length === 0)
    found.add('plan/layout', `${path}/layout/cyclic`, 'expected a tensor with rows, found one of rank 0');
  const { woven } = layout;
  if (woven !== undefined && (shape[woven.dim] === undefined || shape[woven.dim] % (woven.runs * woven.lanes) !== 0)) {
    found.add(
      'plan/layout',
      `${path}/layout/woven`,
      `expected a dim of whole runs and lanes, found ${woven.runs} runs of ${woven.lanes} lanes in dim ${woven.dim} of [${shape}]`,
    );
    return false;
  }
  return twice === undefined;
}

/** Codes are those of a matrix of weights. */
function checkCoding({ coding, role, shape, dtype, layout }: ProgramTensor, path: string, found: Findings): void {
  if (coding === undefined) return;
  const { scale, tensorScale, zero, block, phase } = coding;
  const wrong = (where: string, expected: string, is: string): void =>
    found.add('plan/coding', `${path}/${where}`, `expected ${expected}, found ${is}`);
  if (role !== 'weight' || shape.length !== 2)
    wrong('coding', 'a weight of rows and columns', `a tensor of role ${role} and rank ${shape.length}`);
  if (layout.woven !== undefined) wrong('layout/woven', 'codes in the order of the model', 'a woven layout');
  if (![2, 4, 8].includes(DTYPE_BITS[dtype])) wrong('dtype', 'codes of 2, 4 or 8 bits', dtype);
  for (const [name, type] of Object.entries({ scale, tensorScale }))
    if (type !== null && (!isFloat(type) || DTYPE_BITS[type] % 8 !== 0))
      wrong(`coding/${name}`, 'a float of whole bytes', type);
  if (typeof zero !== 'number' && zero !== dtype && !isFloat(zero))
    wrong('coding/zero', `a number, ${dtype} or a float`, zero);
  for (const d of [0, 1] as const)
    if (phase[d] >= block[d]) wrong(`coding/phase/${d}`, `less than the block of ${block[d]}`, String(phase[d]));
}

/** What is left out are zeros of a matrix; no tile takes more than a core has. */
function checkSparsity(
  { sparsity, role, shape, dtype }: ProgramTensor,
  path: string,
  target: Target,
  found: Findings,
): void {
  if (sparsity === undefined) return;
  const { kind, keep, of, values, bytes, nonZeros, tiles } = sparsity;
  const wrong = (where: string, expected: string, is: unknown): void =>
    found.add('plan/sparsity', `${path}/sparsity/${where}`, `expected ${expected}, found ${String(is)}`);
  if (role !== 'weight' || shape.length !== 2)
    wrong('kind', 'a weight of rows and columns', `a tensor of role ${role} and rank ${shape.length}`);
  if (![2, 4, 8, 16, 32, 64].includes(DTYPE_BITS[dtype]))
    wrong('kind', 'values of 2, 4 or 8 bits or whole words', dtype);
  if (kind === 'n:m' ? ![4, 8].includes(of) || keep < 1 || keep >= of : keep !== 0 || of !== 0)
    wrong('of', kind === 'n:m' ? '1 <= keep < of, of 4 or 8' : 'neither keep nor of', `${keep}:${of}`);
  if (bytes > target.sramBytes) wrong('bytes', `at most ${target.sramBytes}, the SRAM of a core`, bytes);
  if (nonZeros.min > nonZeros.max || nonZeros.max > values)
    wrong('nonZeros', 'min <= max <= values', `${nonZeros.min}, ${nonZeros.max}, ${values}`);
  if (nonZeros.total < nonZeros.min * tiles || nonZeros.total > nonZeros.max * tiles)
    wrong('nonZeros/total', `from min to max for each of ${tiles} tiles`, nonZeros.total);
}

/** Cores that an axis of the region has. */
const coresAlong = ({ width, height, groups }: RegionShape, axis: Layout['dims'][number][number]): number =>
  axis === 'y' ? height : axis === 'xo' ? groups : width / groups;

/** A tile that no core could hold would only cost memory here. */
function checkSize(
  { shape, layout, dtype, sparsity }: ProgramTensor,
  region: RegionShape,
  path: string,
  target: Target,
  found: Findings,
): void {
  let [elements, tile] = [1, 1];
  for (const [d, extent] of shape.entries()) {
    elements *= extent;
    tile *= Math.ceil(extent / layout.dims[d].reduce((n, axis) => n * coresAlong(region, axis), 1));
  }
  if (elements > MAX_ELEMENTS)
    found.add('plan/range', `${path}/shape`, `expected at most ${MAX_ELEMENTS} elements, found ${shape.join(' x ')}`);
  else if ((tile * DTYPE_BITS[dtype]) / 8 > target.sramBytes * (sparsity === undefined ? 1 : MOST_SPARSE))
    found.add(
      'plan/range',
      `${path}/shape`,
      `expected tiles of at most ${target.sramBytes} bytes, the SRAM of a core; found ${tile} elements of ${dtype} on a core`,
    );
}

function checkOp(op: ProgramOp, { tensors }: RegionProgram, path: string, found: Findings): void {
  const fields = new Map<string, unknown>(Object.entries(op));
  let whole = true;
  for (const field of TENSOR_FIELDS[op.op]) {
    const value = fields.get(field);
    if (typeof value === 'number') whole = found.index(`${path}/${field}`, value, tensors.length, 'tensors') && whole;
    else if (Array.isArray(value))
      for (const [i, t] of value.entries())
        if (typeof t === 'number') whole = found.index(`${path}/${field}/${i}`, t, tensors.length, 'tensors') && whole;
  }
  if (whole) checkArguments(op, tensors, path, found);
}

/** Numbers of an op against the tensors it names. */
function checkArguments(op: ProgramOp, tensors: readonly ProgramTensor[], path: string, found: Findings): void {
  const state = (field: string, t: number): void => {
    if (tensors[t].role !== 'state')
      found.add(
        'plan/index',
        `${path}/${field}`,
        `expected a tensor of role state, found ${t} of role ${tensors[t].role}`,
      );
  };
  /** Codes have a scale for every feature, and nothing else has. */
  const coded = (field: string, scales: T | undefined, of: T): void => {
    const at = scales === undefined ? undefined : tensors[scales];
    const codes = tensors[of].dtype === 'i8';
    if (codes !== (at !== undefined))
      found.add(
        'plan/range',
        `${path}/${field}`,
        codes ? 'expected scales of the codes, found none' : 'expected none: the state holds no codes',
      );
    else if (at !== undefined && (at.role !== 'weight' || at.shape.join() !== `1,${tensors[of].shape.at(-1)}`))
      found.add(
        'plan/range',
        `${path}/${field}`,
        `expected a weight [1, ${tensors[of].shape.at(-1)}], found a ${at.role} [${at.shape}]`,
      );
  };
  const range = (field: string, expected: string, value: number): void =>
    found.add('plan/range', `${path}/${field}`, `expected ${expected}, found ${value}`);
  const width = (t: number): number => tensors[t].shape.at(-1) ?? 1;
  switch (op.op) {
    case 'gemv':
      found.count(`${path}/outputs`, op.outputs.length, op.weights.length, "the op's weights");
      return;
    case 'append':
      state('state', op.state);
      return coded('scales', op.scales, op.state);
    case 'attend':
      state('keys', op.keys);
      state('values', op.values);
      coded('keyScales', op.keyScales, op.keys);
      coded('valueScales', op.valueScales, op.values);
      if (op.mask !== null) state('mask', op.mask);
      if (op.heads % op.kvHeads !== 0) range('kvHeads', `a divisor of the ${op.heads} heads`, op.kvHeads);
      return;
    case 'scores':
    case 'mix':
      if (op.op === 'scores') {
        state('keys', op.keys);
        coded('keyScales', op.keyScales, op.keys);
      } else {
        state('values', op.values);
        coded('valueScales', op.valueScales, op.values);
        if (op.mask !== null) state('mask', op.mask);
      }
      if (op.heads % op.kvHeads !== 0) range('kvHeads', `a divisor of the ${op.heads} heads`, op.kvHeads);
      return;
    case 'slice':
      if (op.end > width(op.x)) range('end', `at most the ${width(op.x)} features of x`, op.end);
      if (op.start > op.end) range('start', `at most the end ${op.end}`, op.start);
      return;
    case 'select': {
      const bad = op.indices.findIndex((f) => f >= width(op.x));
      if (bad >= 0) range(`indices/${bad}`, `one of the ${width(op.x)} features of x`, op.indices[bad]);
      return;
    }
    case 'token': {
      const tokens = tensors[op.x].shape[0] ?? 1;
      if (op.index >= tokens || op.index < -tokens) range('index', `one of the ${tokens} tokens of x`, op.index);
      return;
    }
    case 'all_reduce':
    case 'reduce_scatter':
    case 'all_gather': {
      found.count(`${path}/outputs`, op.outputs.length, op.inputs.length, "the op's inputs");
      const gathers = op.op === 'all_gather';
      if ((op.combine === null) !== gathers)
        found.add(
          'plan/range',
          `${path}/combine`,
          `expected ${gathers ? 'null' : 'sum, max, softmax or moments'} for ${op.op}, found ${op.combine}`,
        );
      const rank = Math.max(...op.inputs.map((t) => tensors[t].shape.length));
      if (op.op === 'all_reduce' ? op.dim !== -1 : op.dim < 0 || op.dim >= rank)
        range('dim', op.op === 'all_reduce' ? '-1' : `a dim of the inputs, below ${rank}`, op.dim);
      return;
    }
    default:
      return;
  }
}

/** What the program shares with its stages. */
function checkInterface(
  { tensors, inputs, outputs, weights, weightSources, caches, results }: RegionProgram,
  path: string,
  found: Findings,
): void {
  const tensor = (at: string, t: number, role?: ProgramTensor['role']): void => {
    if (found.index(`${path}/${at}`, t, tensors.length, 'tensors') && role !== undefined && tensors[t].role !== role)
      found.add(
        'plan/index',
        `${path}/${at}`,
        `expected a tensor of role ${role}, found ${t} of role ${tensors[t].role}`,
      );
  };
  for (const [i, input] of inputs.entries()) if (input !== null) tensor(`inputs/${i}/tensor`, input.tensor, 'input');
  for (const [i, t] of outputs.entries()) if (t !== null) tensor(`outputs/${i}`, t);
  for (const [i, t] of weights.entries()) tensor(`weights/${i}`, t, 'weight');
  for (const [i, t] of results.entries()) if (t !== null) tensor(`results/${i}`, t);
  found.count(`${path}/weightSources`, weightSources.length, weights.length, 'the weights');
  const listed = new Set(weights);
  const held = tensors.filter(({ role }) => role === 'weight').length;
  if (listed.size !== weights.length || listed.size !== held)
    found.add(
      'plan/count',
      `${path}/weights`,
      `expected each of the ${held} tensors of role weight once, found ${weights.length} entries for ${listed.size} of them`,
    );
  for (const [i, { state, scales, past, present }] of caches.entries()) {
    tensor(`caches/${i}/state`, state, 'state');
    if (scales !== undefined) tensor(`caches/${i}/scales`, scales, 'weight');
    cacheEnd(`${path}/caches/${i}/past`, past, inputs, 'inputs', found);
    cacheEnd(`${path}/caches/${i}/present`, present, outputs, 'outputs', found);
  }
}

function cacheEnd(path: string, at: number, list: readonly unknown[], what: string, found: Findings): void {
  if (at === -1) return;
  if (found.index(path, at, list.length, what) && list[at] !== null)
    found.add('plan/index', path, `expected an entry of ${what} that is null, found ${at}, which is not`);
}
