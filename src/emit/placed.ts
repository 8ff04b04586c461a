/**
 * A plan as TypeScript: the host's parts as functions, a region program for each template (what one core does, for all cores of a
 * rectangle), and the stages that run them with their tiles of weights.bin.
 */
import type { Constant } from '../ir/constant.ts';
import type { Graph } from '../ir/graph.ts';
import { parseGraph } from '../ir/parse.ts';
import { printLayout, type ProgramOp, type ProgramTensor } from '../ir/program.ts';
import type { Plan } from '../plan/types.ts';
import { emitGraph, parameter } from './graph.ts';
import { tensorLiteral } from './literal.ts';
import { Names, shortName } from './names.ts';
import { literal, property, quote } from './syntax.ts';

/** Declarations; the last one is `placedModel`. */
export function emitPlaced(plan: Plan, names: Names): string[] {
  const templates = plan.templates.map(({ name }) => names.add(`${name}Program`));
  return [
    ...hostFunction('before', 'What the host computes before the wafer: positions, masks, angles.', plan, names),
    ...hostFunction('after', 'What the host makes of results.', plan, names),
    ...plan.templates.flatMap((_, t) => templateCode(templates[t], plan, t)),
    '/** The plan: stages in order, each with its template and its tiles. */',
    'const placedModel = openPlaced(import.meta.url, {',
    `  mode: ${literal(plan.mode)},`,
    '  inputs: [',
    ...plan.inputs.map((io) => `    ${literal(io)},`),
    '  ],',
    '  outputs: [',
    ...plan.outputs.map((io) => `    ${literal(io)},`),
    '  ],',
    '  host: { before, after },',
    `  templates: [${plan.templates.map(({ name }, t) => `{ name: ${quote(name)}, program: ${templates[t]} }`).join(', ')}],`,
    '  stages: [',
    ...plan.stages.flatMap(({ weights, ...stage }) => [
      '    {',
      ...Object.entries(stage).map(([key, value]) => `      ${key}: ${literal(value)},`),
      '      weights: [',
      ...weights.map((blob) => `        ${literal(blob)},`),
      '      ],',
      '    },',
    ]),
    '  ],',
    '});',
    '',
  ];
}

/** A graph of the host as a function; its larger constants are ranges of weights.bin. */
function hostFunction(name: 'before' | 'after', what: string, plan: Plan, names: Names): string[] {
  const graph = hostGraph(plan.host[name], plan);
  const blobOf = (label: string, constant: Constant): string => {
    const blob = plan.host.constants.find((b) => b.name === label);
    if (blob === undefined) return tensorLiteral(constant);
    const as = constant.dtype === blob.dtype ? '' : `, ${quote(constant.dtype)}`;
    return `blob(${quote(blob.dtype)}, [${blob.shape.join(', ')}], ${blob.offset}${as})`;
  };
  const used = usedInputs(graph);
  const code = emitGraph(
    graph,
    graph.inputs.map((v) => `inputs[${quote(graph.names[v])}]`),
    names,
    blobOf,
    `${name}Block`,
  );
  const lines = code.statements.map((line) => `    ${line}`);
  const result = graph.outputs.map((v, i) => `      ${quote(graph.names[v])}: ${code.outputs[i]},`);
  return [
    ...code.declarations,
    `/** ${what} */`,
    `const ${name} = host(`,
    '  [',
    ...used.map((v) => `    { name: ${quote(graph.names[v])}, dtype: ${quote(graph.types[v].dtype)} },`),
    '  ],',
    `  (${parameter(code)}) => {`,
    ...lines,
    '    return {',
    ...result,
    '    };',
    '  },',
    ');',
    '',
  ];
}

/** Bytes of larger constants stay where they are: only their types matter here. */
function hostGraph(text: string, { host }: Plan): Graph {
  const unread = (): never => {
    throw new Error('a constant of the host is not read when it is written');
  };
  return parseGraph(text, {
    sources: new Map(host.constants.map(({ name, bytes }) => [name, { label: name, byteLength: bytes, read: unread }])),
  });
}

const usedInputs = ({ inputs, ops, outputs }: Graph): Graph['inputs'] => {
  const read = new Set([...ops.flatMap((op) => op.inputs), ...outputs]);
  return inputs.filter((v) => read.has(v));
};

/** Fields of an op that name tensors. */
const TENSOR_FIELDS = {
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
} as const satisfies Readonly<Record<ProgramOp['op'], readonly string[]>>;

/** The program of template `t`, as the variable `variable`. */
export function templateCode(
  variable: string,
  { templates, stages: all }: Pick<Plan, 'templates' | 'stages'>,
  t: number,
): string[] {
  const { name, program } = templates[t];
  const { tensors, ops, shape, tokens, context, ...rest } = program;
  const names = new Names();
  const variables = tensors.map((tensor) => names.add(shortName(tensor.name, 3)));
  const stages = all.filter(({ template }) => template === t).map((stage) => stage.name);
  const which = stages.length > 3 ? `${stages[0]} .. ${stages[stages.length - 1]}` : stages.join(', ');
  return [
    `/** Template ${name}: what each core of ${shape.width}x${shape.height} does with ${tokens} token${tokens === 1 ? '' : 's'}. Stages ${which}. */`,
    `const ${variable} = region(${literal({ shape, tokens, context })}, (r) => {`,
    ...tensors.map((tensor, i) => `  const ${variables[i]} = ${tensorCode(tensor)};`),
    ...ops.map((op) => `  r.run(${opCode(op, variables)});`),
    '  return {',
    ...Object.entries(rest).map(([key, value]) => `    ${key}: ${restCode(key, value, variables)},`),
    '  };',
    '});',
    '',
  ];
}

function tensorCode(tensor: ProgramTensor): string {
  const { name, role, dtype, shape, layout, ...rest } = tensor;
  const more = Object.keys(rest).length === 0 ? '' : `, ${literal(rest)}`;
  return `r.tensor(${quote(role)}, ${quote(name)}, ${quote(printLayout({ dtype, shape, layout }))}${more})`;
}

function opCode(op: ProgramOp, variables: readonly string[]): string {
  const tensorFields: readonly string[] = TENSOR_FIELDS[op.op];
  const fields = Object.entries(op).map(([key, value]) => {
    const code = tensorFields.includes(key) ? tensorRefs(value, variables) : literal(value);
    return key === code ? key : `${property(key)}: ${code}`;
  });
  return `{ ${fields.join(', ')} }`;
}

/** One tensor, several, or none. */
const tensorRefs = (value: unknown, variables: readonly string[]): string =>
  typeof value === 'number'
    ? variables[value]
    : Array.isArray(value)
      ? `[${value.map((one) => tensorRefs(one, variables)).join(', ')}]`
      : literal(value);

/** What the program says of its interface; fields that name tensors are these. */
function restCode(key: string, value: unknown, variables: readonly string[]): string {
  if (key === 'outputs' || key === 'weights' || key === 'results') return tensorRefs(value, variables);
  const inner = (entry: unknown): string =>
    typeof entry === 'object' && entry !== null
      ? `{ ${Object.entries(entry)
          .map(
            ([field, v]) =>
              `${field}: ${field === 'tensor' || field === 'state' || field === 'scales' ? tensorRefs(v, variables) : literal(v)}`,
          )
          .join(', ')} }`
      : literal(entry);
  return Array.isArray(value) ? `[${value.map(inner).join(', ')}]` : literal(value);
}
