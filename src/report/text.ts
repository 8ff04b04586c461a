/** The report for people: what fits where, how fast, and what bounds it. Every figure is one of report.json. */
import { isCollective, printLayout } from '../ir/program.ts';
import type { Plan } from '../plan/types.ts';
import { formatBytes, formatCount, formatInteger, formatPercent } from '../util/format.ts';
import { pairs, table } from '../util/table.ts';
import { compressionText } from './compression-text.ts';
import type { Report } from './report.ts';
import { sparseText } from './sparse.ts';
import { accuracyText, speedText } from './speed-text.ts';

export function renderReport(plan: Plan, report: Report): string {
  return [
    head(report),
    fitTable(report),
    regionTable(plan),
    compressionText(report),
    sramHistogram(report),
    collectiveTable(plan, report),
    sparseText(report.compression.sparse),
    routingTable(report),
    speedText(plan, report),
    accuracyText(report),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function head({ model, target, context, batch, mode, stages, templates, regions, fabric }: Report): string {
  const what =
    mode === 'stream' ? `decoder, context ${formatInteger(context)}` : `encoder, ${formatInteger(context)} tokens`;
  return `${model.name} on ${target.name}: fits\n${pairs(
    [
      ['model', `${formatCount(model.parameters)} parameters, ${model.ops} ops; ${what}, batch ${batch}`],
      ['stages', `${stages} of ${templates} templates in ${regions.length} regions`],
      [
        'target',
        `${target.width}x${target.height} cores, ${formatInteger(target.usableCores)} usable; ${copiesText(fabric)}${formatPercent(fabric.unusedShare)} are left empty`,
      ],
    ],
    '  ',
  )}`;
}

const copiesText = ({ copies }: Report['fabric']): string =>
  copies === 1 ? '' : `${formatInteger(copies)} copies of the model; `;

function fitTable({ sram }: Report): string {
  const share = (bytes: number): string => formatPercent(bytes / sram.limitBytes);
  const rows: [string, number][] = [
    ['weights', sram.weightBytes],
    ['KV cache', sram.kvBytes],
    ['activations', sram.activationBytes],
    ['receive buffers', sram.bufferBytes],
    ['code', sram.codeBytes],
    ['stack', sram.stackBytes],
    ['peak', sram.peakBytes],
    ['limit', sram.limitBytes],
  ];
  const longest =
    sram.maxContext === null ? '' : `longest context in these regions: ${formatInteger(sram.maxContext)} positions\n`;
  return `SRAM of the fullest core\n${indent(
    table(
      [
        { head: 'what', align: 'left' },
        { head: 'bytes', align: 'right' },
        { head: 'of limit', align: 'right' },
      ],
      rows.map(([what, bytes]) => [what, formatInteger(bytes), share(bytes)]),
    ),
  )}${longest}`;
}

function regionTable({ regions, stages, templates, memory, target, schedule }: Plan): string {
  const shown =
    regions.length > 12 ? [...regions.keys()].filter((i) => i < 6 || i >= regions.length - 5) : [...regions.keys()];
  const rows = shown.map((i) => {
    const { x, y, width, height, stages: held } = regions[i];
    const names =
      held.length === 1 ? stages[held[0]].name : `${stages[held[0]].name}..${stages[held[held.length - 1]].name}`;
    const cycles = held.reduce(
      (n, s) => n + schedule.perTemplate[stages[s].template].reduce((m, o) => m + o.cycles, 0) - schedule.joined[s],
      0,
    );
    const kinds = [...new Set(held.map((s) => templates[stages[s].template].name))].join('+');
    return [
      String(i),
      names,
      kinds,
      `${width}x${height}`,
      `(${x},${y})`,
      formatInteger(cycles),
      formatPercent(memory[i].peakBytes / target.sramBytes),
    ];
  });
  const left = regions.length - shown.length;
  const heads = ['region', 'stages', 'template', 'cores', 'at', 'cycles', 'SRAM'];
  const text = table(
    heads.map((h) => ({ head: h, align: h === 'cycles' || h === 'SRAM' || h === 'region' ? 'right' : 'left' })),
    rows,
  );
  return `Regions\n${indent(text)}${left > 0 ? `  and ${left} more like these\n` : ''}`;
}

function sramHistogram({ sram }: Report): string {
  const most = Math.max(1, ...sram.histogram);
  const lines = sram.histogram.map((cores, i) => {
    const bar = '#'.repeat(Math.ceil((cores / most) * 40));
    return `  ${String(i * 10).padStart(3)}-${String(i * 10 + 10).padStart(3)} %  ${formatInteger(cores).padStart(9)}  ${bar}`;
  });
  return `Cores by SRAM used (${formatInteger(sram.coresUsed)} cores hold ${formatBytes(sram.totalWeightBytes)} of weights)\n${lines.map((l) => l.trimEnd()).join('\n')}\n`;
}

function collectiveTable({ templates, stages, schedule }: Plan, { collectives }: Report): string {
  const rows = templates.flatMap(({ name, program }, t) => {
    const times = stages.filter((s) => s.template === t).length;
    return program.ops.flatMap((op, i) => {
      if (!isCollective(op)) return [];
      const { cycles, bound, algorithm } = schedule.perTemplate[t][i];
      const axes = op.axes.join('').replace('xoxi', 'x');
      return [
        [
          `${name} x${times}`,
          `${op.op}${op.combine ? ` ${op.combine}` : ''} @${axes}`,
          algorithm ?? '-',
          formatInteger(cycles),
          formatInteger(bound),
          printLayout(program.tensors[op.inputs[0]]),
          op.node,
        ],
      ];
    });
  });
  const heads = ['template', 'collective', 'algorithm', 'cycles', 'bound', 'message', 'node'];
  const text = table(
    heads.map((h) => ({ head: h, align: h === 'cycles' || h === 'bound' ? 'right' : 'left' })),
    rows,
  );
  return `Collectives: ${collectives.sequentialAllReducesPerLayer} region-wide and ${collectives.localPerLayer} local per layer, ${collectives.perToken} per step\n${indent(text)}`;
}

function routingTable({ routing, target }: Report): string {
  const { colorsMax, inputQueuesMax, outputQueuesMax, fullestCore, busiestLink, resetsPerStep, resetCyclesPerStep } =
    routing;
  const rows: [string, string][] = [
    ['colors', `${colorsMax} at the fullest core, (${fullestCore.x},${fullestCore.y})`],
    ['queues', `${inputQueuesMax} in, ${outputQueuesMax} out at the fullest core`],
    [
      'busiest link',
      busiestLink === null ? 'none' : `${formatInteger(busiestLink.wavelets)} wavelets: ${busiestLink.what}`,
    ],
    ['route writes', `${formatInteger(resetsPerStep)} a step, ${formatInteger(resetCyclesPerStep)} cycles (assumed)`],
  ];
  return `Routing on ${target.name}\n${pairs(rows, '  ')}`;
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
