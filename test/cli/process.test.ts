/** The real process: streams, exit codes, pipes. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'wafc-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** `head`: stops reading stdout after the first bytes, as `| head -c 1` does. */
function wafc(args: readonly string[], head = false): Promise<Result> {
  const script = join(root, 'src/cli.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
    if (head) child.stdout.destroy();
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

describe('the wafc command', () => {
  test('lists targets', async () => {
    const { code, out, err } = await wafc(['targets']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('wse3');
  });

  test('a reader that goes away is no error', async () => {
    expect(await wafc(['explain', '--json'], true)).toMatchObject({ err: '' });
  });

  test("a file that is no model is the input's fault", async () => {
    const path = join(folder, 'not.onnx');
    writeFileSync(path, 'version https://git-lfs.github.com/spec/v1');
    const { code, out, err } = await wafc(['inspect', path]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^error\[onnx\/[a-z-]+\]: /);
    expect(err).not.toContain('\x1b');
  });

  test('bad usage is 2', async () => {
    expect((await wafc(['inspect'])).code).toBe(2);
  });
});
