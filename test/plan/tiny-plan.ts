/** Plans of tiny models, compiled into temporary folders as the command line does; and JSON changed at one place. */
import { NO_COMPRESSION } from '../../src/driver/contract.ts';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { compile, loadModel } from '../../src/driver/compile.ts';
import type { Answer, CompileArguments } from '../../src/driver/contract.ts';
import { GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import type { Constant } from '../../src/ir/constant.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { NO_FLAGS } from '../../src/pass/flags.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { SILENT } from '../../src/index.ts';
import type { Plan } from '../../src/plan/types.ts';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder that goes when the tests of the file are done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-test-'));
  folders.push(folder);
  return folder;
}

export interface Compiled {
  readonly folder: string;
  /** Of the original model. */
  readonly model: string;
  readonly answer: Answer;
  /** A fresh copy of plan.json. */
  json(): Plan;
}

export type TinyModel = 'tiny-llama' | 'tiny-gpt2' | 'tiny-bert';

const compiled = new Map<string, Promise<Compiled>>();

/** The plan of a model, compiled once a test file; its folder must be left as it is. */
export function compileTiny(name: TinyModel, change: Partial<CompileArguments> = {}): Promise<Compiled> {
  const key = `${name} ${JSON.stringify(change)}`;
  const known = compiled.get(key) ?? compileNow(name, change);
  compiled.set(key, known);
  return known;
}

async function compileNow(name: TinyModel, change: Partial<CompileArguments>): Promise<Compiled> {
  const config = CONFIGS.get(name);
  if (config === undefined) throw new Error(`no model ${name}`);
  const temporary = temporaryFolder();
  const model = join(temporary, 'model.onnx');
  const folder = join(temporary, 'plan');
  writeModel(model, buildModel(config));
  const args: CompileArguments = {
    model,
    target: 'mesh-8x8',
    output: folder,
    context: 32,
    bindings: {},
    objective: 'latency',
    weights: true,
    seed: 0,
    compression: NO_COMPRESSION,
    flags: NO_FLAGS,
    ...change,
  };
  const answer = await compile(args, SILENT);
  return { folder, model, answer, json: () => JSON.parse(readFileSync(join(folder, 'plan.json'), 'utf8')) };
}

/** The constants that weights of the plan are made of, as the graph passes leave them. */
export function constantsOf({ model }: Compiled, plan: Plan): (stage: number, weight: number) => Constant | undefined {
  const { graph: imported, roles } = loadModel(model, plan.mode.batch, {});
  const { graph } = runPasses({ graph: imported, roles, target: plan.target, mode: plan.mode }, GRAPH_STEPS, QUIET);
  const byName = new Map([...graph.constants].map(([v, constant]) => [graph.names[v], constant]));
  return (stage, weight) => byName.get(plan.stages[stage].weights[weight].name);
}

/** What `change` returns for a key that is to go. */
export const GONE = Symbol('gone');

/** A copy of `json` in which the value at `path` (`/stages/0/name`) is what `change` makes of it. */
export function changed(json: unknown, path: string, change: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path.split('/').slice(1);
  if (key === undefined) return change(json);
  const copy: unknown = Array.isArray(json) ? [...json] : { ...Object(json) };
  const old: unknown = Reflect.get(Object(copy), key);
  const value = rest.length === 0 ? change(old) : changed(old, `/${rest.join('/')}`, change);
  if (value === GONE) Reflect.deleteProperty(Object(copy), key);
  else Reflect.set(Object(copy), key, value);
  return copy;
}

/** Paths of all values in `json` that `want` holds of. */
export function* pathsOf(json: unknown, want: (value: unknown) => boolean, path = ''): Generator<string> {
  if (want(json)) yield path;
  if (typeof json === 'object' && json !== null)
    for (const [key, value] of Object.entries(json)) yield* pathsOf(value, want, `${path}/${key}`);
}
