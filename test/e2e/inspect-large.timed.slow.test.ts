/**
 * A model with more than 4 GB of external data is inspected, architecture included, in at most 1 s and 150 MB, process
 * start included: the built program, as it is installed. The data file is sparse; nothing depends on what it holds.
 * Seconds are the lesser of wall time, which other files of the suite stretch, and CPU time, which counts the threads that
 * compile and collect beside the main one.
 */
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { temporaryFolder } from '../onnx/support.ts';

const root = join(import.meta.dirname, '../..');
const folder = temporaryFolder();
const run = promisify(execFile);
/** The machine is shared: the best of these counts. */
const TRIES = 5;

beforeAll(() => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', join(folder, 'dist')]);
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
});

interface Measured {
  readonly seconds: number;
  readonly megabytes: number;
  readonly stdout: string;
}

async function inspect(model: string): Promise<Measured> {
  const usage = 'const u=process.resourceUsage();console.error(u.maxRSS,u.userCPUTime+u.systemCPUTime)';
  const peak = `data:text/javascript,process.on("exit",()=>{${usage}})`;
  const start = performance.now();
  const { stdout, stderr } = await run(
    process.execPath,
    ['--import', peak, join(folder, 'dist/src/cli.js'), 'inspect', model, '--json'],
    { maxBuffer: 2 ** 24 },
  );
  const [kilobytes, microseconds] = stderr.trim().split(' ').map(Number);
  const seconds = Math.min(microseconds / 1e3, performance.now() - start) / 1e3;
  return { seconds, megabytes: (kilobytes * 1024) / 1e6, stdout };
}

test.each([
  ['4.3 GB', 'llama-8b', 5, 4e9, 1],
  ['16 GB', 'llama-8b', 32, 16e9, 2], // six times the nodes; no bar of its own
] as const)('%s of external data', async (_, name, layers, least, most) => {
  const config = CONFIGS.get(name);
  if (config === undefined) throw new Error(`no config ${name}`);
  const model = join(folder, `${name}-${layers}.onnx`);
  writeModel(model, buildModel({ ...config, layers }), { external: true, data: false });
  writeFileSync(`${model}.data`, '');
  truncateSync(`${model}.data`, 17e9);
  expect(statSync(`${model}.data`).size).toBeGreaterThan(least);
  const runs: Measured[] = [];
  for (let i = 0; i < TRIES; i++) runs.push(await inspect(model));
  const found = JSON.parse(runs[0].stdout);
  expect(found.externalFiles).toMatchObject([{ missing: false }]);
  expect(found.externalFiles[0].bytes).toBeGreaterThan(least);
  expect(found.architecture).toMatchObject({ layers, identicalLayers: layers, heads: 32, kvHeads: 8, hidden: 4096 });
  const seconds = Math.min(...runs.map((r) => r.seconds));
  const megabytes = Math.max(...runs.map((r) => r.megabytes));
  process.stdout.write(
    `inspect of ${name} with ${layers} layers: ${seconds.toFixed(2)} s, ${megabytes.toFixed(0)} MB\n`,
  );
  expect(seconds).toBeLessThanOrEqual(most);
  expect(megabytes).toBeLessThanOrEqual(150);
});
