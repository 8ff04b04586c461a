import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('an interrupt leaves no half-written files', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-signals-'));
  const source = join(import.meta.dirname, '../../src');
  const script = join(folder, 'write.mts');
  writeFileSync(
    script,
    `import { cleanUpOnSignals } from '${source}/cli/signals.ts';
import { writeFolderAtomic } from '${source}/util/files.ts';
cleanUpOnSignals();
const wait = new Promise((done) => setTimeout(done, 60_000));
await writeFolderAtomic('${folder}/plan', () => {}, async () => {
  process.stdout.write('started');
  await wait;
});
`,
  );
  try {
    const child = spawn(process.execPath, ['--import', 'tsx', script], {
      cwd: source,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const code = await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
      child.stdout.once('data', () => {
        expect(readdirSync(folder)).toHaveLength(2);
        child.kill('SIGINT');
      });
    });
    expect(code).toBe(130);
    expect(readdirSync(folder)).toEqual(['write.mts']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
