/** `wafc compile`: argv to CompileArguments. */
import { Command, Option } from 'commander';
import { type PassFlags } from '../pass/flags.ts';
import { binding, integerFrom, lengths, names, withExamples } from './arguments.ts';
import type { CompileArguments } from './drivers.ts';

interface Options {
  readonly target: string;
  readonly output?: string;
  readonly context?: number;
  readonly batch?: number;
  readonly bind: Readonly<Record<string, number>>;
  readonly objective: 'latency' | 'throughput';
  readonly regions?: number;
  readonly layersPerRegion?: number;
  readonly promptTokens: readonly number[];
  readonly weights: boolean;
  readonly seed: number;
  readonly passes?: string;
  readonly skip: readonly string[];
  readonly bisectLimit?: number;
  readonly dump?: string;
  readonly printAfter: readonly string[];
  readonly diffAfter: readonly string[];
  readonly time?: true;
  readonly stats?: true;
  readonly checkNumerics?: true;
  readonly verifyEach: boolean;
}

export function compileCommand(run: (args: CompileArguments, command: Command) => Promise<void>): Command {
  const command = new Command('compile')
    .summary('place a model on a wafer')
    .description('Compile an ONNX model into a placement plan for a target.')
    .argument('<model>', 'an .onnx file; external data is found beside it')
    .requiredOption('-t, --target <name>', 'a target of `wafc targets`, or a target file')
    .option('-o, --output <folder>', 'where the plan goes; without it only the report is printed')
    .option('-c, --context <n>', 'positions the KV cache holds (8k = 8192)', integerFrom(1))
    .option('-b, --batch <n>', 'sequences at once', integerFrom(1))
    .option('--bind <name=n>', 'bind a symbolic dim of the model (repeatable)', binding, {})
    .addOption(
      new Option('--objective <what>', 'what the plan is best at')
        .choices(['latency', 'throughput'])
        .default('latency'),
    )
    .addOption(
      new Option('--regions <n>', 'put the whole model into n regions')
        .argParser(integerFrom(1))
        .conflicts('layersPerRegion'),
    )
    .option('--layers-per-region <n>', 'put at most n equal layers into a region', integerFrom(1))
    .option('--prompt-tokens <n,..>', 'report the time to first token of prompts of these lengths', lengths, [])
    .option('--no-weights', 'plan only: no weights.bin, no model.onnx')
    .option('--seed <n>', 'seed of every random choice', integerFrom(0), 0);
  addPassOptions(command);
  withExamples(command, [
    'wafc compile model.onnx --target wse3 -o plan',
    'wafc compile model.onnx --target wse3 --context 8k --json | jq .decode',
    'wafc compile model.onnx --target wse3 --objective throughput --batch 8 --prompt-tokens 512,4k',
    "wafc compile model.onnx --target wse3 --bind sequence=128 --print-after cse --skip 'fuse-norms'",
  ]);
  return command.action(async (model: string, options: Options) => {
    const { target, output, context, batch, bind, objective, regions, layersPerRegion, promptTokens, weights, seed } =
      options;
    await run(
      {
        model,
        target,
        ...(output === undefined ? {} : { output }),
        ...(context === undefined ? {} : { context }),
        ...(batch === undefined ? {} : { batch }),
        bindings: bind,
        objective,
        ...(regions === undefined ? {} : { regions }),
        ...(layersPerRegion === undefined ? {} : { layersPerRegion }),
        ...(promptTokens.length === 0 ? {} : { promptTokens }),
        weights,
        seed,
        flags: passFlags(options),
      },
      command,
    );
  });
}

/** The flags of src/pass/flags.ts, in a help group of their own. */
function addPassOptions(command: Command): void {
  const none: readonly string[] = [];
  command
    .optionsGroup('Debugging passes:')
    .option('--passes <list>', "run these passes instead of the pipeline: 'a{x=1},b'")
    .option('--skip <names>', 'leave passes out', names, none)
    .option('--bisect-limit <n>', 'run only the first n passes', integerFrom(0))
    .option('--dump <folder>', 'write the program after every pass')
    .option('--print-after <names>', 'print the program after passes (or all)', names, none)
    .option('--diff-after <names>', 'print what passes changed (or all)', names, none)
    .option('--time', 'print the time of every pass')
    .option('--stats', 'print what passes counted')
    .option('--check-numerics', 'run the model before and after every pass that changes it')
    .option('--no-verify-each', 'do not verify the program after every pass');
}

function passFlags(options: Options): PassFlags {
  const { passes, skip, bisectLimit, dump, printAfter, diffAfter, verifyEach } = options;
  return {
    ...(passes === undefined ? {} : { passes }),
    ...(bisectLimit === undefined ? {} : { bisectLimit }),
    ...(dump === undefined ? {} : { dump }),
    skip,
    printAfter,
    diffAfter,
    verifyEach,
    time: options.time === true,
    stats: options.stats === true,
    checkNumerics: options.checkNumerics === true,
  };
}
