/** `wafc run`: argv to RunArguments. The options of generation are those of emitted executors, too. */
import { readFileSync, statSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { fail } from '../diag/diagnostic.ts';
import type { GenerationArguments } from '../generate/text.ts';
import { collect, integerFrom, withExamples } from './arguments.ts';
import type { RunArguments } from './drivers.ts';

export interface GenerationOptions {
  readonly prompt?: string;
  readonly ids?: readonly number[];
  readonly file?: string;
  readonly tokenizer?: string;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP: number;
  readonly seed: number;
  readonly stop: readonly string[];
}

interface Options extends GenerationOptions {
  readonly mode: RunArguments['mode'];
  readonly draft?: string;
  readonly draftTokens: number;
}

export function runCommand(run: (args: RunArguments, command: Command) => Promise<void>): Command {
  const command = new Command('run')
    .summary('generate text with the model of a plan')
    .description(
      'Continue a prompt on this machine, and say what the plan predicts for its target. Text goes to stdout as it comes,\n' +
        'figures to stderr. Ctrl-C ends it after the token at work; exit code 130.',
    )
    .argument('<plan>', 'a folder that `wafc compile -o` wrote');
  withGeneration(command)
    .option('--seed <n>', 'seed of sampling', integerFrom(0), 0)
    .addOption(
      new Option('--mode <executor>', "the model's graph, or the plan core by core")
        .choices(['reference', 'placed'])
        .default('reference'),
    )
    .option('--draft <plan2>', 'a second plan, whose model drafts what the first reviews')
    .option('--draft-tokens <n>', 'tokens to draft at once', integerFrom(1), 4);
  withExamples(command, [
    "wafc run plan --prompt 'function add(' --max-tokens 64",
    "wafc run plan --tokenizer tokenizer.json --prompt 'Once upon a time' --temperature 0.8 --top-p 0.9 --seed 7",
    "wafc run reviewer-plan --draft drafter-plan --prompt 'if (' --json",
  ]);
  return command.action(async (plan: string, options: Options) => {
    const { mode, draft, draftTokens } = options;
    await run(
      { ...generationArguments(options), plan, mode, draftTokens, ...(draft === undefined ? {} : { draft }) },
      command,
    );
  });
}

/** The options that say what is generated. */
export function withGeneration(command: Command): Command {
  return command
    .addOption(new Option('--prompt <text>', 'the text to continue').conflicts(['ids', 'file']))
    .addOption(new Option('--ids <list>', 'token ids to continue: 1,2,3').argParser(idList).conflicts('file'))
    .option('--file <file>', 'a file with the text to continue')
    .option('--tokenizer <file>', 'tokenizer.json, a tokenizer.bin of llama2.c, or bytes')
    .option('--max-tokens <n>', 'tokens to generate at most', integerFrom(1), 128)
    .option('--temperature <t>', '0 takes the likeliest token', numberIn(0, Number.POSITIVE_INFINITY), 0)
    .option('--top-k <k>', 'only the k likeliest tokens', integerFrom(1))
    .option('--top-p <p>', 'only the likeliest tokens that reach p together', numberIn(Number.MIN_VALUE, 1), 1)
    .option('--stop <text>', 'stop where this text begins (repeatable)', collect, []);
}

/** @throws Diagnosed `run/file` */
export function generationArguments(options: GenerationOptions): GenerationArguments {
  const { prompt, ids, file, tokenizer, maxTokens, temperature, topK, topP, seed, stop } = options;
  const text = file === undefined ? prompt : readPrompt(file);
  return {
    ...(text === undefined ? {} : { prompt: text }),
    ...(ids === undefined ? {} : { ids }),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    maxTokens,
    sampling: { temperature, topK: topK ?? null, topP },
    seed,
    stop,
  };
}

const MOST_BYTES = 64 * 2 ** 20;

function readPrompt(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.size > MOST_BYTES)
    fail({ code: 'run/file', message: `expected a text file of at most ${MOST_BYTES} bytes, found none at ${path}` });
  return readFileSync(path, 'utf8');
}

function idList(text: string): readonly number[] {
  const ids = text.split(',').map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  if (ids.every(Number.isSafeInteger)) return ids;
  throw new InvalidArgumentError('It must be a list of token ids, as in 1,2,3.');
}

const numberIn =
  (least: number, most: number) =>
  (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (Number.isFinite(value) && value >= least && value <= most) return value;
    const range = most === Number.POSITIVE_INFINITY ? `at least ${least}` : `more than 0, at most ${most}`;
    throw new InvalidArgumentError(`It must be a number, ${range}.`);
  };
