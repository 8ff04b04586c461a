/** Runs an example as its reader does, in a process of its own. */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';

export const examples = resolve(import.meta.dirname, '../../examples');

export interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export function runExample(file: string): Promise<Result> {
  const child = spawn(process.execPath, ['--import', 'tsx', join(examples, file)], {
    cwd: resolve(examples, '..'),
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
