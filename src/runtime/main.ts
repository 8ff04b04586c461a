/** The command line of an emitted executor: inputs in, outputs out. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Diagnosed, fail } from '../diag/diagnostic.ts';
import { renderDiagnostics } from '../diag/render.ts';
import { randomFeeds } from '../exec/feeds-for.ts';
import { printType } from '../ir/types.ts';
import { readNpz, writeNpz } from '../tensor/npz.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { wantsColor } from '../util/color.ts';
import { checkInputs, feedSpecs, type Model, type Tensors } from './model.ts';

/** Whether the module at `url` is what the process was started with. */
export function isMain(url: string): boolean {
  const [, script] = process.argv;
  return script !== undefined && realpathSync(script) === realpathSync(fileURLToPath(url));
}

const HELP = `usage: npx tsx executor.ts [options]

  --input FILE.npz    inputs by name; without it seeded random ones
  --output FILE.npz   writes the outputs
  --seed N            of random inputs (0)
  --tokens N          length of random inputs (8)
  --json              one JSON document
  --help              this text
`;

/** Runs a model as the command line says, and sets the exit code: 0, 1 for a fault of the input, 2 for bad usage, 70 for one of wafc. */
export async function main(model: Model, argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  try {
    const options = optionsOf(argv);
    if (options.help === true) process.stdout.write(HELP);
    else evaluate(model, options);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    const { env, stderr } = process;
    if (error instanceof Diagnosed)
      stderr.write(renderDiagnostics(error.diagnostics, { color: wantsColor(stderr.isTTY === true, env) }));
    else if (process.exitCode === 2) stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    else throw error;
  }
}
