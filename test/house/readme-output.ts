/** `npm run docs:readme`: runs what README.md shows, and puts the output there, shortened. `..` stands where lines are left out. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');
const readme = join(root, 'README.md');
const pico = 'models/pico/decoder_with_past.onnx';

function wafc(args: readonly string[], expected: number): { out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'src/cli.ts', ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  if (status !== expected) throw new Error(`wafc ${args.join(' ')} ended with ${status}:\n${stderr}`);
  return { out: stdout, err: stderr };
}

/** Sections are separated by blank lines. */
const sections = (text: string): string[] => text.trimEnd().split('\n\n');

/** The first `rows` lines under a heading of `heads` lines. */
function cut(section: string, heads: number, rows: number): string {
  const lines = section.split('\n');
  return lines.length <= heads + rows ? section : [...lines.slice(0, heads + rows), '  ..'].join('\n');
}

/** The last column of the table is the ONNX node. */
const withoutNodes = (section: string): string =>
  section
    .split('\n')
    .map((line, i) => (i === 0 ? line : line.replace(/ +\S+$/, '')))
    .join('\n');

function shortReport(text: string): string {
  return sections(text)
    .filter((s) => !s.startsWith('Cores by SRAM') && !s.startsWith('Constants are fitted'))
    .map((s) => {
      if (s.startsWith('Collectives')) return cut(withoutNodes(s), 2, 4);
      if (!s.startsWith('Speed')) return s;
      return s
        .split('\n')
        .filter((line) => !/ at (?!0\.875)\S+ GHz/.test(line))
        .join('\n');
    })
    .join('\n\n');
}

function replaceBlock(text: string, name: string, contents: string): string {
  const [from, to] = [text.indexOf(`<!-- ${name} -->`), text.indexOf(`<!-- /${name} -->`)];
  if (from < 0 || to < from) throw new Error(`README.md has no block ${name}`);
  return `${text.slice(0, from)}<!-- ${name} -->\n\`\`\`\n${contents}\n\`\`\`\n${text.slice(to)}`;
}

const folder = mkdtempSync(join(tmpdir(), 'wafc-readme-'));
try {
  const plan = join(folder, 'plan');
  const report = wafc(['compile', pico, '--target', 'wse3', '-o', plan], 0).out;
  const verified = wafc(['verify', plan], 0).out;
  const nofit = wafc(['compile', pico, '--target', 'mesh-4x4', '--context', '4k', '--quiet'], 1).err;
  let text = readFileSync(readme, 'utf8');
  text = replaceBlock(text, 'demo', `${shortReport(report)}\n..\n${verified.trimEnd()}`);
  text = replaceBlock(text, 'nofit', nofit.trimEnd());
  writeFileSync(readme, text);
} finally {
  rmSync(folder, { recursive: true });
}
