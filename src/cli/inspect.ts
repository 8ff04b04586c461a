/** `wafc inspect`: what is in a model file, and what it is as a transformer. Needs no weights, whatever its size. */
import { Command } from 'commander';
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Recognised } from '../driver/structure.ts';
import type { Architecture } from '../report/architecture.ts';
import { formatBytes, formatCount, formatInteger } from '../util/format.ts';
import { pairs, table } from '../util/table.ts';
import { integerFrom, withExamples } from './arguments.ts';
import type { Answer, Drivers } from './drivers.ts';
import { type Inspection, inspectModel } from './inspect-model.ts';

export function inspectCommand(
  drivers: {
    openModel: NonNullable<Drivers['openModel']>;
    recognise: Drivers['recognise'];
    knowsOp: Drivers['knowsOp'];
  },
  run: (answer: () => Promise<Answer>, command: Command) => Promise<void>,
): Command {
  const command = new Command('inspect')
    .summary('say what is in a model')
    .description(
      'Print the architecture, ops, opsets, inputs and outputs, parameters and the largest tensors of an ONNX model. Weights need not be there.',
    )
    .argument('<model>', 'an .onnx file')
    .option('--largest <n>', 'how many of the largest tensors to list', integerFrom(0), 8)
    .option('--structure', 'see the architecture of large models whose layers do not repeat, too: takes longer');
  withExamples(command, ['wafc inspect model.onnx', 'wafc inspect model.onnx --json | jq .architecture']);
  return command.action((path: string, options: { largest: number; structure?: true }) =>
    run(async () => {
      const model = drivers.openModel(path);
      try {
        const found = inspectModel(model, drivers.knowsOp, options.largest);
        return answer(found, await drivers.recognise?.(model, options.structure === true));
      } finally {
        model.close();
      }
    }, command),
  );
}

function answer(found: Inspection, recognised: Recognised | undefined): Answer {
  const { architecture = null, remarks = [] } = recognised ?? {};
  return {
    exitCode: 0,
    diagnostics: [...warnings(found), ...remarks],
    json: () => ({ schema: 'wafc.inspect/1', ...found, architecture }),
    text: () => text(found, architecture),
  };
}

function warnings({ ops, externalFiles }: Inspection): readonly Diagnostic[] {
  const unknown = ops.filter((op) => !op.supported);
  const lost = externalFiles.filter((file) => file.missing);
  return [
    ...unknown.map(({ kind, count }): Diagnostic => {
      const message = `wafc has no op ${kind} (${formatInteger(count)} in this model)`;
      return { code: 'onnx/unsupported-op', severity: 'warning', message };
    }),
    ...lost.map(({ file, bytes }): Diagnostic => {
      const message = `${file} is not beside the model; it holds ${formatBytes(bytes)} of its weights`;
      return { code: 'onnx/external-missing', severity: 'warning', message };
    }),
  ];
}

/** Metadata may hold whole documents (tokenizers, configurations). */
const oneLine = (value: string): string => {
  const line = value.replaceAll(/\s+/g, ' ').trim();
  return line.length <= 100 ? line : `${line.slice(0, 97)}...`;
};

const HEADS: Readonly<Record<Architecture['head'], string>> = {
  tied: 'tied to the embedding',
  copy: 'equal to the embedding, stored twice',
  untied: 'untied',
  unknown: 'of the size of the embedding (what it holds is not known)',
  none: 'none',
};

/** What the front end recognises, for people. */
function architectureLines(a: Architecture | null): [string, string][] {
  if (a === null) return [];
  const same = a.identicalLayers === a.layers ? 'identical layers' : `layers, ${a.identicalLayers} of them identical`;
  const rotated =
    a.positions === 'rotary' && a.rotaryFeatures < a.headSize ? ` (${a.rotaryFeatures} features a head)` : '';
  const window = a.window === null ? '' : `, window of ${formatInteger(a.window)}`;
  const activation = `${a.activation ?? 'none'}${a.gated ? ', gated' : ''}`;
  return [
    ['architecture', `${a.kind} of ${a.layers} ${same}, ${formatCount(a.parameters)} parameters`],
    [
      'attention',
      `${a.heads} heads of ${a.headSize}, ${a.kvHeads} KV heads${window}${a.cache ? ', with a cache' : ''}`,
    ],
    ['widths', `hidden ${a.hidden}, FFN ${a.ffn ?? 'none'}, vocabulary ${a.vocabulary ?? 'none'}`],
    ['layers', `${a.norm ?? 'no norm'}, activation ${activation}, positions ${a.positions}${rotated}`],
    ['head', HEADS[a.head]],
  ];
}

function text(found: Inspection, architecture: Architecture | null): string {
  const { inputs, outputs, ops, largest, externalFiles } = found;
  const opsets = Object.entries(found.opsets).map(([domain, version]) => `${domain} ${version}`);
  const types = Object.entries(found.bytesByType).map(([dtype, bytes]) => `${dtype} ${formatBytes(bytes)}`);
  const head = pairs([
    ['model', `${found.file} (${formatBytes(found.fileBytes)})`],
    ['graph', found.graph],
    ['producer', found.producer],
    ['IR version', String(found.irVersion)],
    ['opsets', opsets.join(', ')],
    ['nodes', formatInteger(found.nodes)],
    ['parameters', `${formatInteger(found.parameters)} (${formatCount(found.parameters)}), ${types.join(', ')}`],
    ...externalFiles.map(({ file, bytes, missing }): [string, string] => [
      'external data',
      `${file}, ${formatBytes(bytes)} of weights${missing ? ' (missing)' : ''}`,
    ]),
    ...Object.entries(found.metadata).map(([key, value]): [string, string] => [
      'metadata',
      `${key}: ${oneLine(value)}`,
    ]),
    ...architectureLines(architecture),
    ['symbols', found.symbols.join(', ') || 'none'],
  ]);
  const values = (title: string, list: readonly string[]): string =>
    `\n${title}\n${list.map((line) => `  ${line}\n`).join('')}`;
  const opTable = table(
    [
      { head: 'op', align: 'left' },
      { head: 'count', align: 'right' },
      { head: '', align: 'left' },
    ],
    ops.map(({ kind, count, supported }) => [kind, formatInteger(count), supported ? '' : 'not supported']),
  );
  const tensors =
    largest.length === 0
      ? ''
      : `\n${table(
          [
            { head: 'largest tensors', align: 'left' },
            { head: 'type', align: 'left' },
            { head: 'size', align: 'right' },
          ],
          largest.map(({ name, type, bytes }) => [name, type, formatBytes(bytes)]),
        )}`;
  return `${head}${values('inputs', inputs)}${values('outputs', outputs)}\n${opTable}${tensors}`;
}
