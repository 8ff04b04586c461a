/**
 * executor.ts: the model as a TypeScript program of its own. It says what the model computes, op by op, and it runs: `wafc/runtime` has
 * the meaning of each op, model.onnx the weights. Same graph, same bytes.
 */
import type { IoRole } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { printTensorType } from '../ir/print.ts';
import type { Plan } from '../plan/types.ts';
import { emitGraph, parameter } from './graph.ts';
import { Names } from './names.ts';
import { emitPlaced } from './placed.ts';
import { quote } from './syntax.ts';

export interface ExecutorSource {
  /** What model.onnx holds, as it is read back. */
  readonly graph: Graph;
  readonly roles: ReadonlyMap<string, IoRole>;
  /** `wafc 0.1.0`. */
  readonly generator: string;
  /** The plan beside model.onnx, where there is one. */
  readonly plan?: Plan;
}

/** The file; with a plan, its region programs, too. */
export function emitExecutor(source: ExecutorSource): string {
  const { graph, roles, generator, plan } = source;
  const names = new Names();
  const inputs = graph.inputs.map((v) => `inputs[${quote(graph.names[v])}]`);
  const code = emitGraph(graph, inputs, names, (name) => `weight(${quote(name)})`, 'layer');
  const parts = [
    ...ioType('Inputs', graph, graph.inputs, roles),
    ...ioType('Outputs', graph, graph.outputs, roles),
    ...code.declarations,
    '/** The model, op by op. */',
    `export function reference(${parameter(code)}: Inputs): Outputs {`,
    ...code.statements.map((line) => `  ${line}`),
    '  return {',
    ...graph.outputs.map((v, i) => `    ${quote(graph.names[v])}: ${code.outputs[i]},`),
    '  };',
    '}',
    '',
    ...(plan === undefined ? [] : [...emitPlaced(plan, names), ...placedFunction(graph)]),
    ...modelObject(source),
  ];
  const text = [...head(parts), ...parts].join('\n');
  const used = RUNTIME.filter((name) => new RegExp(`\\b${name}\\b[(<]|: ${name}\\b`).test(text));
  const imports = used.map((name) => (/^[A-Z]/.test(name) ? `type ${name}` : name));
  return `${opening(graph, generator)}import { ${imports.join(', ')} } from 'wafc/runtime';\n\n${text}\n`;
}

/** What a file may import, in order. */
const RUNTIME = 'body host isMain main Model op openBlobs openPlaced openWeights prepare region Tensor tensor'.split(
  ' ',
);

const opening = (graph: Graph, generator: string): string =>
  [
    '/**',
    ` * ${comment(graph.name)}, as a program: written by ${generator}, and written again when the plan is.`,
    ' * Values are what ONNX says of each op, in the order of the graph; comments give their types.',
    ' *',
    ' *   npx tsx executor.ts --help',
    " *   import { run } from './executor.ts';",
    ' */',
    '',
  ].join('\n');

/** Where constants come from, as far as the file asks for them. */
function head(parts: readonly string[]): string[] {
  const asks = (word: string): boolean => parts.some((line) => new RegExp(`\\b${word}\\(`).test(line));
  return [
    ...(asks('weight')
      ? [
          '/** Initializers of model.onnx, each read when it is first asked for. */',
          "const weight = openWeights(new URL('model.onnx', import.meta.url));",
          '',
        ]
      : []),
    ...(asks('blob')
      ? [
          '/** Constants of the host in weights.bin, by the offset of their bytes. */',
          'const blob = openBlobs(import.meta.url);',
          '',
        ]
      : []),
  ];
}

const placedFunction = (graph: Graph): string[] => [
  '/** The plan, core by core. */',
  'export function placed(inputs: Inputs): Outputs {',
  '  const results = placedModel.run(inputs);',
  '  return {',
  ...graph.outputs.map((v) => `    ${quote(graph.names[v])}: results[${quote(graph.names[v])}],`),
  '  };',
  '}',
  '',
];

function modelObject({ graph, roles, plan }: ExecutorSource): string[] {
  const io = (values: readonly ValueId[]): string[] => values.map((v) => `    ${ioLine(graph, v, roles)},`);
  return [
    'export const model: Model<Inputs, Outputs> = {',
    `  name: ${quote(graph.name)},`,
    '  inputs: [',
    ...io(graph.inputs),
    '  ],',
    '  outputs: [',
    ...io(graph.outputs),
    '  ],',
    '  reference,',
    ...(plan === undefined ? [] : ['  placed: placedModel,']),
    '};',
    '',
    ...(plan === undefined
      ? [
          '/** Runs the model on tensors by name: what `reference` says, prepared once. */',
          'export const run = prepare(model);',
        ]
      : [
          '/** The model as `reference` says it, prepared once. */',
          'const prepared = prepare(model);',
          '',
          '/** Runs the model on tensors by name: its graph, or the plan core by core. */',
          "export const run = (inputs: Inputs, mode: 'reference' | 'placed' = 'reference'): Outputs =>",
          "  mode === 'placed' ? placed(inputs) : prepared(inputs);",
        ]),
    '',
    'if (isMain(import.meta.url)) void main(model);',
  ];
}

function ioType(name: string, graph: Graph, values: readonly ValueId[], roles: ExecutorSource['roles']): string[] {
  const fields = values.flatMap((v) => [
    `  /** ${comment(printTensorType(graph.types[v]))}${roleText(roles.get(graph.names[v]))} */`,
    `  readonly ${quote(graph.names[v])}: Tensor;`,
  ]);
  return [`export type ${name} = {`, ...fields, '};', ''];
}

/** Rows of the smallest table that the ids of an input index; undefined where the graph does not tell. */
function rowsBelow(graph: Graph, input: ValueId): number | undefined {
  const ids = new Set([input]);
  const rows: number[] = [];
  for (const { kind, inputs, outputs } of graph.ops) {
    const [table, index] = kind === 'Cast' ? [undefined, inputs[0]] : inputs;
    if (index === null || index === undefined || !ids.has(index)) continue;
    if (kind === 'Cast' && outputs[0] !== null) ids.add(outputs[0]);
    const isTable = (kind === 'Gather' || kind === 'wafc.embedding') && table !== null && table !== undefined;
    const constant = isTable ? graph.constants.get(table) : undefined;
    if (constant !== undefined) rows.push(constant.shape[0]);
  }
  return rows.length === 0 ? undefined : Math.min(...rows);
}

/** Nothing in a comment ends it. */
const comment = (text: string): string => text.replaceAll('*/', '* /').replaceAll(/[\r\n\u2028\u2029]/g, ' ');

const roleText = (role: IoRole | undefined): string =>
  role === undefined || role.kind === 'plain'
    ? ''
    : `: ${'cache' in role ? `${role.kind} of cache ${role.cache}` : role.kind}`;

function ioLine(graph: Graph, v: ValueId, roles: ExecutorSource['roles']): string {
  const role = roles.get(graph.names[v]) ?? { kind: 'plain' };
  const cache = 'cache' in role ? `, cache: ${role.cache}` : '';
  const rows = role.kind === 'tokens' ? rowsBelow(graph, v) : undefined;
  const fields = [
    `name: ${quote(graph.names[v])}`,
    `type: ${quote(printTensorType(graph.types[v]))}`,
    `role: { kind: ${quote(role.kind)}${cache} }`,
    ...(rows === undefined ? [] : [`below: ${rows}`]),
  ];
  return `{ ${fields.join(', ')} }`;
}
