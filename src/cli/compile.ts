/** `wafc compile`: argv to CompileArguments. */
import { Command, Option } from 'commander';
import { type PassFlags } from '../pass/flags.ts';
import { binding, collect, integerFrom, lengths, names, percent, share, withExamples } from './arguments.ts';
import type { CompileArguments, CompressionArguments } from './drivers.ts';

interface Options {
  readonly target: string;
  readonly output?: string;
  readonly report?: string;
  readonly context?: number;
  readonly batch?: number;
  readonly bind: Readonly<Record<string, number>>;
  readonly objective: 'latency' | 'throughput';
  readonly regions?: number;
  readonly layersPerRegion?: number;
  readonly promptTokens: readonly number[];
  readonly weights: boolean;
  readonly seed: number;
  readonly quantize?: string;
  readonly algo?: string;
  readonly prune: readonly string[];
  readonly calib?: string;
  readonly tokenizer?: string;
  readonly kv?: string;
  readonly budget?: string;
  readonly act?: string;
  readonly smooth?: number;
  readonly override: readonly string[];
  readonly exclude: readonly string[];
  readonly eval?: string;
  readonly maxPpl?: number;
  readonly exportOnnx?: string;
  readonly onnxStyle: CompressionArguments['onnxStyle'];
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
    .option('--report <file>', 'write the report as JSON, also of a model that does not fit')
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
  addCompressionOptions(command);
  addPassOptions(command);
  withExamples(command, [
    'wafc compile model.onnx --target wse3 -o plan',
    'wafc compile model.onnx --target wse3 --context 8k --json | jq .decode',
    'wafc compile model.onnx --target wse3 --objective throughput --batch 8 --prompt-tokens 512,4k',
    'wafc compile model.onnx --target wse3 --quantize int4 --calib text.txt --tokenizer tokenizer.json',
    'wafc compile model.onnx --target wse3 --quantize int4 --eval text.txt --max-ppl +2%',
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
        ...(options.report === undefined ? {} : { report: options.report }),
        ...(context === undefined ? {} : { context }),
        ...(batch === undefined ? {} : { batch }),
        bindings: bind,
        objective,
        ...(regions === undefined ? {} : { regions }),
        ...(layersPerRegion === undefined ? {} : { layersPerRegion }),
        ...(promptTokens.length === 0 ? {} : { promptTokens }),
        weights,
        seed,
        compression: compressionOf(options),
        flags: passFlags(options),
      },
      command,
    );
  });
}

/** What compression.md section 6.2 spells. */
function addCompressionOptions(command: Command): void {
  const none: readonly string[] = [];
  command
    .optionsGroup('Compression:')
    .option(
      '--quantize <format>',
      'keep, fp16, int8[:row|tensor|gN], int4[:gN][:signed|asym], fp8, mxfp4, mxfp8, mxint8, nvfp4, auto (what fits)',
    )
    .option('--algo <name>', 'rtn, mse, hqq, awq, gptq, awq+gptq (default: gptq with --calib, else hqq; int8: rtn)')
    .option(
      '--prune <what>',
      'wanda:0.5, sparsegpt:0.5, magnitude:0.3 [:row|:tile|:layer][,owl], 2:4, wanda:2:4, ffn:0.25[,obs], depth:1 (repeatable)',
      collect,
      none,
    )
    .option('--calib <text>', 'text.txt, data.jsonl, ids.npz, or self[:n=128,len=512,seed=0]: sampled from the model')
    .option('--tokenizer <file>', 'tokenizer.json, a tokenizer.bin of llama2.c, or bytes')
    .option('--budget <bytes>', 'with --quantize auto: most bytes of a core (36KiB/core), or of all weights (12GB)')
    .option('--kv <format>', 'keep keys and values as fp16, int8 (needs --calib) or int4:kivi32')
    .option(
      '--act <format>',
      'round inputs of layers: int8:token, int8:static[:max|p99.99|mse|entropy] (needs --calib)',
    )
    .option('--smooth <alpha>', 'strength of SmoothQuant, 0 to 1 (default: 0.5 with --act and --calib)', share)
    .option('--override <rules>', "formats of layers by name: 'down_proj=int8,layers.0.*=fp16'", names, none)
    .option('--exclude <names>', 'layers that stay as they are', names, none)
    .option('--eval <text>', 'measure perplexity and divergence on a text')
    .option('--max-ppl <percent>', 'exit with 1 when perplexity rises by more: +2%', percent)
    .option('--export-onnx <file>', 'write the compressed model as plain ONNX')
    .addOption(
      new Option('--onnx-style <style>', 'how it spells quantized weights')
        .choices(['matmulnbits', 'qdq', 'float'])
        .default('matmulnbits'),
    );
}

function compressionOf(options: Options): CompressionArguments {
  const {
    quantize,
    algo,
    prune,
    calib,
    tokenizer,
    budget,
    kv,
    act,
    smooth,
    override,
    exclude,
    maxPpl,
    exportOnnx,
    onnxStyle,
  } = options;
  return {
    override,
    exclude,
    onnxStyle,
    ...(quantize === undefined ? {} : { quantize }),
    ...(algo === undefined ? {} : { algo }),
    ...(prune.length === 0 ? {} : { prune }),
    ...(calib === undefined ? {} : { calib }),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(budget === undefined ? {} : { budget }),
    ...(kv === undefined ? {} : { kv }),
    ...(act === undefined ? {} : { act }),
    ...(smooth === undefined ? {} : { smooth }),
    ...(options.eval === undefined ? {} : { evaluate: options.eval }),
    ...(maxPpl === undefined ? {} : { maxPpl }),
    ...(exportOnnx === undefined ? {} : { exportOnnx }),
  };
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
