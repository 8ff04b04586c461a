/**
 * Shapes of a 1B-parameter Llama: planned in seconds without weights; with WAFC_BIG=1 the 2.5 GB are written, tiled and
 * read again, with a bound on memory.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import type { Plan, Report } from '../../src/index.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { temporaryFolder } from '../onnx/support.ts';

const root = join(import.meta.dirname, '../..');
const folder = temporaryFolder();
const run = promisify(execFile);
const CLI = ['--import', 'tsx', join(root, 'src/cli.ts')];

/** Prints the microseconds of CPU of each process (a loader may start one of its own) when it ends. */
const USAGE =
  'data:text/javascript,process.on("exit",()=>{const u=process.resourceUsage();console.error(u.userCPUTime+u.systemCPUTime)})';

const config = CONFIGS.get('llama-1b');
if (config === undefined) throw new Error('models/configs.ts has no llama-1b');

test('1B parameters in fp16, shapes only', async () => {
  const model = join(folder, 'shapes.onnx');
  writeModel(model, buildModel(config), { external: true, data: false });
  expect(existsSync(`${model}.data`)).toBe(false);
  const plan = join(folder, 'shapes');
  const argv = ['compile', model, '--target', 'wse3', '--no-weights', '--json', '-q', '-o', plan];
  const began = performance.now();
  const { stdout, stderr } = await run(process.execPath, ['--import', USAGE, ...CLI, ...argv], {
    cwd: root,
    maxBuffer: 2 ** 26,
  });
  // Wall time is what others on the machine stretch, CPU time what threads that collect garbage beside the program add.
  const cpu = Math.max(...stderr.trim().split(/\s+/).map(Number)) / 1e3;
  expect(cpu).toBeGreaterThan(0);
  // oxlint-disable-next-line no-console -- the figure is what one runs this for
  console.warn(`llama-1b, shapes only: ${(Math.min(cpu, performance.now() - began) / 1000).toFixed(1)} s`);
  if (process.env.WAFC_BIG === '1') expect(Math.min(cpu, performance.now() - began)).toBeLessThan(10_000);
  const report: Report = JSON.parse(stdout);
  expect(report).toMatchObject({ fits: true, mode: 'stream', context: 4096, templates: 3 });
  expect(report.model.parameters).toBeGreaterThan(1.2e9);
  expect(report.stages).toBe(18);
  expect(report.sram.peakBytes).toBeLessThanOrEqual(report.sram.limitBytes);
  expect(readdirSync(plan).sort()).toEqual(['plan.json', 'report.json']);
  // Nothing in a plan grows with the number of cores.
  expect(statSync(join(plan, 'plan.json')).size).toBeLessThan(2 ** 20);
  const { weights, stages }: Plan = JSON.parse(readFileSync(join(plan, 'plan.json'), 'utf8'));
  expect(weights.sha256).toBeNull();
  expect(stages.flatMap((s) => s.weights).every((w) => w.sha256 === null)).toBe(true);
  expect(weights.bytes).toBeGreaterThan(2.4e9);
});

describe.skipIf(process.env.WAFC_BIG !== '1')('1B parameters with weights (WAFC_BIG=1)', () => {
  const model = join(folder, 'big.onnx');
  afterAll(() => {
    for (const path of [model, `${model}.data`, join(folder, 'big')]) rmSync(path, { recursive: true, force: true });
  });

  test('compiles with at most 1.5 GB of memory', async () => {
    await run(process.execPath, ['--import', 'tsx', join(root, 'models/build.ts'), 'llama-1b', '-o', model], {
      cwd: root,
    });
    expect(statSync(`${model}.data`).size).toBeGreaterThan(2.4e9);
    const plan = join(folder, 'big');
    const argv = ['compile', model, '--target', 'wse3', '--json', '-q', '-o', plan];
    const began = performance.now();
    const { code, peakKiB, out, err } = await measured([...CLI, ...argv]);
    // oxlint-disable-next-line no-console -- the figure is what one runs this for
    console.warn(
      `llama-1b: ${((performance.now() - began) / 1000).toFixed(1)} s, peak ${(peakKiB / 1024).toFixed(0)} MiB`,
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const report: Report = JSON.parse(out);
    expect(report.fits).toBe(true);
    expect(peakKiB * 1024).toBeLessThanOrEqual(1.5e9);
    expect(peakKiB).toBeGreaterThan(50_000); // VmHWM was read
    expect(statSync(join(plan, 'weights.bin')).size).toBeGreaterThan(2.4e9);
  });
});

/** Runs node and watches VmHWM, the kernel's own high-water mark of resident memory. */
function measured(
  args: readonly string[],
): Promise<{ code: number | null; peakKiB: number; out: string; err: string }> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err, peakKiB] = ['', '', 0];
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString();
  });
  const timer = setInterval(() => {
    try {
      const found = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
      if (found) peakKiB = Math.max(peakKiB, Number(found[1]));
    } catch {
      // The process has ended.
    }
  }, 50);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      resolve({ code, peakKiB, out, err });
    });
  });
}
