/** `wafc inspect`: what is in a model file. Reads its structure only, whatever its size. */
import { Command } from 'commander';
import type { Diagnostic } from '../diag/diagnostic.ts';
import { formatBytes, formatCount, formatInteger } from '../util/format.ts';
import { pairs, table } from '../util/table.ts';
import { integerFrom, withExamples } from './arguments.ts';
import type { Answer, Drivers } from './drivers.ts';
import { type Inspection, inspectModel } from './inspect-model.ts';

export function inspectCommand(
  { openModel, knowsOp }: { openModel: NonNullable<Drivers['openModel']>; knowsOp: Drivers['knowsOp'] },
  run: (answer: () => Answer, command: Command) => Promise<void>,
): Command {
  const command = new Command('inspect')
    .summary('say what is in a model')
    .description('Print ops, opsets, inputs and outputs, parameters and the largest tensors of an ONNX model.')
    .argument('<model>', 'an .onnx file')
    .option('--largest <n>', 'how many of the largest tensors to list', integerFrom(0), 8);
  withExamples(command, ['wafc inspect model.onnx', 'wafc inspect model.onnx --json | jq .ops']);
  return command.action((path: string, { largest }: { largest: number }) =>
    run(() => {
      const model = openModel(path);
      try {
        return answer(inspectModel(model, knowsOp, largest));
      } finally {
        model.close();
      }
    }, command),
  );
}

function answer(found: Inspection): Answer {
  return {
    exitCode: 0,
    diagnostics: warnings(found),
    json: () => ({ schema: 'wafc.inspect/1', ...found }),
    text: () => text(found),
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

function text(found: Inspection): string {
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
