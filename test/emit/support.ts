/** A folder as a user has it: `wafc` is installed in it, here by a link to the sources. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '../..');
const TSX = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** What is imported as `wafc/..`, from the sources: no build is needed. */
export function userFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-user-'));
  const installed = join(folder, 'node_modules', 'wafc');
  mkdirSync(installed, { recursive: true });
  symlinkSync(join(root, 'src'), join(installed, 'src'));
  const exports = { './runtime': './src/runtime/index.ts' };
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'wafc', type: 'module', exports }));
  return folder;
}

export interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** `npx tsx script ..args` in `folder`. */
export function tsx(folder: string, script: string, args: readonly string[] = []): Promise<Result> {
  const child = spawn(process.execPath, ['--import', TSX, script, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (err += data.toString()));
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', (code) => done({ code, out, err }));
  });
}
