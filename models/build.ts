/** `npx tsx models/build.ts NAME -o FILE`: writes a named model, with any of its numbers changed. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { Diagnosed } from '../src/diag/diagnostic.ts';
import { writeModel } from '../src/onnx/writer.ts';
import { buildModel, CONFIGS, type ModelConfig, parameterCount } from './configs.ts';

interface Flags {
  readonly output?: string;
  readonly list?: boolean;
  readonly weights: boolean;
  readonly external?: boolean;
  readonly [key: string]: unknown;
}

/** Flags that change a number of the config, by config key. */
const NUMBERS: Readonly<Record<string, string>> = {
  layers: 'number of layers',
  hidden: 'width of the residual stream',
  heads: 'query heads',
  kvHeads: 'key and value heads (llama)',
  headDim: 'width of a head (llama)',
  ffn: 'width inside the MLP',
  vocab: 'size of the vocabulary',
  maxPositions: 'rows of the position table (gpt2, bert)',
  ropeTheta: 'base of the rotary frequencies (llama)',
  eps: 'epsilon of the norms',
  seed: 'seed of the weights',
  opset: 'ONNX opset, 14 to 17',
};
/** Flags that switch something, by config key. */
const SWITCHES: Readonly<Record<string, string>> = {
  cache: 'past_key_values inputs and present outputs (llama, gpt2)',
  tied: 'the head is the transposed embedding (llama)',
  pooler: 'pooler output (bert)',
};

const kebab = (key: string): string => key.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('a number is needed');
  return value;
}

function commandLine(): Command {
  const command = new Command('build')
    .description('Writes a seeded ONNX transformer.')
    .argument('[name]', 'one of --list')
    .option('-o, --output <file>', 'where to write; big weights go to <file>.data beside it')
    .option('--list', 'name the configurations and their sizes')
    .option('--no-weights', 'write shapes only: references to a data file that is not written')
    .option('--external', 'put weights into <file>.data even when the model is below 2 GiB')
    .addOption(new Option('--dtype <type>', 'type of weights and activations').choices(['f32', 'f16', 'bf16']))
    .addOption(new Option('--rsqrt <form>', 'how 1/sqrt(x) is spelt (llama)').choices(['div', 'reciprocal']));
  for (const [key, text] of Object.entries(NUMBERS)) command.option(`--${kebab(key)} <n>`, text, number);
  for (const [key, text] of Object.entries(SWITCHES)) {
    command.addOption(new Option(`--${kebab(key)}`, text));
    command.addOption(new Option(`--no-${kebab(key)}`, `without: ${text}`));
  }
  return command.addHelpText(
    'after',
    `
Examples:
  npx tsx models/build.ts tiny-llama -o /tmp/m/tiny-llama.onnx
  npx tsx models/build.ts llama-1b -o /tmp/m/llama-1b.onnx                  2.5 GB of weights in llama-1b.onnx.data
  npx tsx models/build.ts llama-8b --no-weights -o /tmp/m/llama-8b.onnx     shapes only, under a megabyte
  npx tsx models/build.ts tiny-llama --layers 4 --hidden 64 --head-dim 16 --seed 7 -o /tmp/m/four.onnx`,
  );
}

/** The config with the flags that were given; a flag that its kind of model does not have is an error. */
function override(base: ModelConfig, flags: Flags): ModelConfig {
  const changes: Record<string, unknown> = {};
  for (const key of [...Object.keys(NUMBERS), ...Object.keys(SWITCHES), 'dtype', 'rsqrt']) {
    if (flags[key] === undefined) continue;
    if (!(key in base)) throw new RangeError(`a ${base.kind} model has no --${kebab(key)}`);
    changes[key] = flags[key];
  }
  return { ...base, ...changes };
}

function list(): string {
  const rows = [...CONFIGS].map(([name, config]) => {
    const millions = parameterCount(buildModel(config)) / 1e6;
    const size = millions < 1000 ? `${millions.toPrecision(3)} M` : `${(millions / 1000).toPrecision(3)} G`;
    const { kind, layers, hidden, heads, ffn, vocab, dtype } = config;
    return `${name.padEnd(16)} ${kind.padEnd(5)} ${size.padStart(7)}  layers ${layers}, hidden ${hidden}, heads ${heads}, ffn ${ffn}, vocab ${vocab}, ${dtype}`;
  });
  return `${rows.join('\n')}\n`;
}

function main(): void {
  const command = commandLine().parse();
  const flags = command.opts<Flags>();
  if (flags.list === true) {
    process.stdout.write(list());
    return;
  }
  const name = command.args[0] ?? '';
  const base = CONFIGS.get(name);
  const { output } = flags;
  if (base === undefined)
    return command.error(`error: '${name}' is no configuration; --list names them`, { exitCode: 2 });
  if (output === undefined) return command.error('error: -o FILE is needed', { exitCode: 2 });
  try {
    const model = buildModel(override(base, flags));
    mkdirSync(dirname(output), { recursive: true });
    const external = flags.external === true || !flags.weights ? { external: true } : {};
    writeModel(output, model, { ...external, data: flags.weights });
    const { size } = statSync(output);
    process.stdout.write(`${output}: ${parameterCount(model)} parameters, ${size} bytes without external data\n`);
  } catch (error) {
    if (!(error instanceof Diagnosed || error instanceof RangeError)) throw error;
    command.error(`error: ${error.message}`);
  }
}

main();
