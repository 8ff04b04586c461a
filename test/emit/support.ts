/** A folder as a user has it: `wafc` is installed in it, here by a link to the sources. */
import { spawn, spawnSync } from 'node:child_process';
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

export const bin = (name: string): string => join(root, 'node_modules', '.bin', name);

/** Every executor.ts in folders of `folder` under the options of the checkout: how many there are, and what the compiler says. */
export function typeCheck(folder: string): { readonly files: number; readonly faults: string } {
  const compilerOptions = {
    paths: { 'wafc/runtime': [join(root, 'src/runtime/index.ts')] },
    typeRoots: [join(root, 'node_modules/@types')],
  };
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['*/executor.ts'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  // The compiler, other than tsx, takes a .ts file for CommonJS where nothing says that it is a module.
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  const { stdout } = spawnSync(bin('tsc'), ['-p', folder, '--listFiles'], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  const lines = stdout.split('\n').filter((line) => line !== '');
  return {
    files: lines.filter((line) => line.endsWith('executor.ts') && !line.includes('/src/')).length,
    faults: lines.filter((line) => line.includes('error TS')).join('\n'),
  };
}
