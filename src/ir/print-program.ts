/**
 * A program as text: its graph, then its facts as comments, one line per thing, so that a dump is a `.wir` text
 * still and two dumps differ where two programs do. Facts are printed only, never read back.
 */
import type { Mapping, Memory, Placement, Program, Schedule, Stages } from './facts.ts';
import type { Graph } from './graph.ts';
import type { Flow, Routing } from './routing.ts';
import { type PrintOptions, printGraph, printWord } from './print.ts';
import { type ProgramOp, printLayout, type RegionProgram } from './program.ts';

export function printProgram(program: Program, options: PrintOptions = {}): string {
  const { graph, target, mode, roles, stages, mapping, placement, memory, routing, schedule } = program;
  const lines = [`target ${target.name}; ${mode.kind}, batch ${mode.batch}, context ${mode.context}`];
  for (const [name, role] of roles) {
    lines.push(`role ${printWord(name)}: ${role.kind}${'cache' in role ? ` ${role.cache}` : ''}`);
  }
  if (stages) lines.push(...stageLines(stages, graph));
  if (mapping) lines.push(...mappingLines(mapping, stages));
  if (placement) lines.push(...placementLines(placement));
  if (memory) lines.push(...memoryLines(memory));
  if (routing) lines.push(...routingLines(routing, stages));
  if (schedule) lines.push(...scheduleLines(schedule, stages));
  return `${printGraph(graph, options)}${lines.map((line) => `// ${line}\n`).join('')}`;
}

function stageLines({ host, stages, templates }: Stages, graph: Graph): string[] {
  const names = (values: readonly number[]): string => values.map((v) => `%${graph.names[v]}`).join(', ') || '()';
  return [
    `stages: ${stages.length} of ${templates.length} templates; host ops ${printRanges(host)}`,
    ...stages.map(
      ({ name, template, ops, inputs, outputs, weights }) =>
        `  ${name} (${templates[template]?.name}): ops ${printRanges(ops)}, ${names(inputs)} -> ${names(outputs)}, ` +
        `weights ${names(weights)}`,
    ),
  ];
}

function mappingLines({ programs, groups }: Mapping, stages: Stages | undefined): string[] {
  return [
    `mapping: ${groups.map((stagesOf) => printRanges(stagesOf)).join(' | ')}`,
    ...programs.flatMap((program, i) => programLines(program, templateName(stages, i))),
  ];
}

function programLines(program: RegionProgram, name: string): string[] {
  const { shape, tokens, context, tensors, ops, inputs, outputs, caches, results } = program;
  const tensorName = (t: number): string => tensors[t]?.name ?? `?${t}`;
  const given = inputs.map((input) => (input === null ? '_' : `${tensorName(input.tensor)} (${input.kind})`));
  const left = outputs.map((output) => (output === null ? '_' : tensorName(output)));
  return [
    `  program ${name}: ${shape.width}x${shape.height} in ${shape.groups} groups, ${tokens} tokens, context ${context}, ` +
      `${given.join(', ') || '()'} -> ${left.join(', ') || '()'}`,
    ...tensors.map((t) => `    ${t.role} ${t.name}: ${printLayout(t)}`),
    ...caches.map((c) => `    cache ${tensorName(c.state)}: ${c.heads} heads of ${c.width}, ${c.past} -> ${c.present}`),
    ...(results.length === 0
      ? []
      : [`    results ${results.map((t) => (t === null ? '_' : tensorName(t))).join(' ')}`]),
    ...ops.map((op, i) => `    ${i}: ${printProgramOp(op, tensorName)}${op.node === '' ? '' : `  // ${op.node}`}`),
  ];
}

/** Fields of program ops that are tensors; the rest are numbers, words and lists. */
const TENSOR_FIELDS: ReadonlySet<string> = new Set(
  'x table index weights a b sums gamma beta moments cos sin state q keys values mask stats scores o parts out inputs outputs'.split(
    ' ',
  ),
);

/** `gemv x=h, weight=wq -> q`. */
export function printProgramOp(op: ProgramOp, tensorName: (t: number) => string): string {
  const given: string[] = [];
  const results: string[] = [];
  for (const [key, value] of Object.entries(op)) {
    if (key === 'op' || key === 'node' || value === null) continue;
    const isTensor = TENSOR_FIELDS.has(key) && !(op.op === 'token' && key === 'index');
    const items: readonly unknown[] = Array.isArray(value) ? value : [value];
    const text = items
      .map((item) => (isTensor && typeof item === 'number' ? tensorName(item) : String(item)))
      .join(' ');
    if (key === 'out' || key === 'outputs' || key === 'stats') {
      // `stats` is written by attend and read by softmax_finish.
      if (key !== 'stats' || op.op === 'attend' || op.op === 'mix') {
        results.push(text);
        continue;
      }
    }
    given.push(`${key}=${text}`);
  }
  return `${op.op} ${given.join(', ')}${results.length === 0 ? '' : ` -> ${results.join(', ')}`}`;
}

const placementLines = ({ regions }: Placement): string[] => [
  `placement: ${regions.length} regions`,
  ...regions.map((r, i) => `  region ${i}: ${r.width}x${r.height} at (${r.x},${r.y}), stages ${printRanges(r.stages)}`),
];

const memoryLines = ({ maps }: Memory): string[] =>
  maps.flatMap(({ buffers, peakBytes }, i) => [
    `memory of group ${i}: peak ${peakBytes} bytes`,
    ...buffers.map(
      (b) => `  ${b.offset}..${b.offset + b.bytes} ${b.kind} ${b.name}, live at ${b.live[0]}..${b.live[1]}`,
    ),
  ]);

const flowLines = (flows: readonly Flow[]): string[] =>
  flows.flatMap(({ color, runs }, f) => [
    `    flow ${f}: color ${color}`,
    ...runs.map(({ columns, rows, routes, input, output }) => {
      const queues = [input === null ? '' : `, in ${input}`, output === null ? '' : `, out ${output}`].join('');
      return `      ${routes.join(' | ')} at [${columns}] x [${rows}]${queues}`;
    }),
  ]);

function routingLines({ flows, transports, classes }: Routing, stages: Stages | undefined): string[] {
  return [
    `routing: ${transports.length} transports`,
    ...transports.map(
      ({ kind, from, to, values, algorithm, flows: own, wavelets, hops }) =>
        `  ${kind} ${from ?? 'host'} -> ${to?.join() ?? 'host'}: ${values.map((v) => `%${v}`).join(', ')}; ${algorithm} on flows ` +
        `${own.join()}, ${wavelets} wavelets, ${hops} hops`,
    ),
    ...flowLines(flows),
    ...classes.flatMap((c) => [
      `  class of ${c.templates.map((t) => templateName(stages, t)).join(', ')}`,
      ...c.phases.flatMap((list, i) =>
        list.map(
          ({ op, axis, algorithm, group, wavelets, flows: used, loads }) =>
            `    ${templateName(stages, c.templates[i])} op ${op} @${axis}: ${algorithm}${group === 0 ? '' : ` of ${group}`}, ` +
            `${wavelets} wavelets, flows ${used.join()}${loads.length === 0 ? '' : `, writes ${loads.join()}`}`,
        ),
      ),
      ...flowLines(c.flows),
    ]),
  ];
}

function scheduleLines(
  { perTemplate, joined, sends, host, cyclesPerStep }: Schedule,
  stages: Stages | undefined,
): string[] {
  const took = (t: { cycles: number; bound: number }): string => `${t.cycles} cycles, at least ${t.bound}`;
  return [
    `schedule: ${took({ cycles: cyclesPerStep.calibrated, bound: cyclesPerStep.bound })} a step; ` +
      `host ${host.bytesIn} bytes in, ${host.bytesOut} out, ${host.cyclesIn} and ${host.cyclesOut} cycles`,
    ...perTemplate.flatMap((rows, i) => [
      `  ${templateName(stages, i)}`,
      ...rows.map((r) => {
        const how = `${r.boundBy}${r.algorithm === undefined ? '' : `, ${r.algorithm}`}${r.reset === undefined ? '' : `, ${r.reset} of writes`}`;
        return `    op ${r.op}: from ${r.start}, ${took(r)} (${how})`;
      }),
    ]),
    ...joined.flatMap((n, s) => (n === 0 ? [] : [`  stage ${s}: ${n} cycles less behind stage ${s - 1}`])),
    ...sends.map((send) => `  send ${send.from} -> ${send.to}: ${took(send)}`),
  ];
}

const templateName = (stages: Stages | undefined, index: number): string =>
  stages?.templates[index]?.name ?? `template ${index}`;

/** `0..3, 7` of sorted or unsorted ids; `none` of none. */
export function printRanges(ids: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < ids.length; ) {
    let j = i;
    while (j + 1 < ids.length && ids[j + 1] === ids[j] + 1) j++;
    parts.push(i === j ? `${ids[i]}` : `${ids[i]}..${ids[j]}`);
    i = j + 1;
  }
  return parts.join(', ') || 'none';
}
