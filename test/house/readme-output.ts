/** `npm run docs:readme`: runs what README.md shows, and puts the output there, shortened. `..` stands where lines are left out. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { tsx, userFolder } from '../emit/support.ts';

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

function replaceBlock(text: string, name: string, contents: string, language = ''): string {
  const [from, to] = [text.indexOf(`<!-- ${name} -->`), text.indexOf(`<!-- /${name} -->`)];
  if (from < 0 || to < from) throw new Error(`README.md has no block ${name}`);
  return `${text.slice(0, from)}<!-- ${name} -->\n\`\`\`${language}\n${contents}\n\`\`\`\n${text.slice(to)}`;
}

/** A layer of the graph and of the plan, a few lines each, no wider than a page. */
function excerpt(executor: string): string {
  const lines = executor.split('\n');
  const from = (start: string, count: number): string[] => {
    const at = lines.findIndex((line) => line.startsWith(start));
    if (at < 0) throw new Error(`executor.ts has no line that starts with ${start}`);
    return [...lines.slice(at, at + count), '  ..'];
  };
  const gemv = lines.findIndex((line) => line.includes("r.run({ op: 'gemv'"));
  return [...from('function layer(', 8), ...from('const layerProgram', 4), lines[gemv], '  ..']
    .map((line) => (line.length > 170 ? `${line.slice(0, 167)} ..` : line))
    .join('\n');
}

const folder = userFolder();
try {
  const plan = join(folder, 'plan');
  const report = wafc(['compile', pico, '--target', 'wse3', '-o', plan], 0).out;
  const verified = wafc(['verify', plan], 0).out;
  const nofit = wafc(['compile', pico, '--target', 'mesh-4x4', '--context', '4k', '--quiet'], 1).err;
  const reviewer = join(folder, 'reviewer');
  wafc(['compile', pico.replace('decoder', 'reviewer'), '--target', 'wse3', '-o', reviewer], 0);
  const prompt = ['--tokenizer', 'bytes', '--max-tokens', '24', '--prompt', 'if (max > 3) {'];
  const drafted = wafc(['run', reviewer, '--draft', plan, ...prompt], 0);
  const compared = await tsx(folder, join(plan, 'executor.ts'), ['--compare']);
  let text = readFileSync(readme, 'utf8');
  text = replaceBlock(text, 'demo', `${shortReport(report)}\n..\n${verified.trimEnd()}`);
  text = replaceBlock(text, 'nofit', nofit.trimEnd());
  text = replaceBlock(text, 'run', `${drafted.out}${drafted.err.trimEnd()}`);
  text = replaceBlock(text, 'executor', excerpt(readFileSync(join(plan, 'executor.ts'), 'utf8')), 'ts');
  text = replaceBlock(text, 'compare', cut(compared.out.trimEnd(), 2, 3));
  writeFileSync(readme, text);
} finally {
  rmSync(folder, { recursive: true });
}
