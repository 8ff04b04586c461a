/**
 * `npm run docs:passes`: writes what passes/README.md says of every pass from the code: the table from the registry, the head
 * of each section from the head of the pass's file. What people wrote between those blocks stays.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PASSES } from '../../passes/index.ts';
import type { AnyPass } from '../../src/pass/pass.ts';

const folder = resolve(import.meta.dirname, '../../passes');
export const PASS_DOCUMENT = join(folder, 'README.md');
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((f) => /^\d-[a-z]+\/.*\.ts$/.test(f));

/** The document with its generated blocks renewed; a pass without a section gets one, in the order of the registry. */
export function renewPassDocument(text: string): string {
  let renewed = replaceBlock(text, 'table', table());
  for (const [i, pass] of PASSES.entries()) {
    if (!renewed.includes(start(pass.name))) {
      const next = PASSES.slice(i + 1).find(({ name }) => renewed.includes(start(name)));
      const at = next === undefined ? renewed.length : renewed.indexOf(`## ${next.name}\n`);
      const section = `## ${pass.name}\n${start(pass.name)}\n${END}\n`;
      renewed = `${renewed.slice(0, at).trimEnd()}\n\n${section}${next === undefined ? '' : '\n'}${renewed.slice(at)}`;
    }
    renewed = replaceBlock(renewed, pass.name, head(pass));
  }
  return renewed;
}

const start = (name: string): string => `<!-- generated: ${name} -->`;
const END = '<!-- end -->';

function replaceBlock(text: string, name: string, contents: string): string {
  const from = text.indexOf(start(name));
  const to = text.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`passes/README.md has no block ${start(name)} .. ${END}`);
  return `${text.slice(0, from)}${start(name)}\n${contents}${text.slice(to)}`;
}

const list = (words: readonly string[]): string => words.join(', ') || '-';

function table(): string {
  const rows = PASSES.map(({ name, summary, requires, provides, preserves, numerics, options }) => {
    const given = Object.entries(options).map(([key, value]) => `\`${key}=${value}\``);
    const stage = fileOf(name).split('/')[0];
    return `| [${name}](#${name}) | ${stage} | ${summary} | ${list(requires)} | ${list(provides)} | ${list(preserves)} | ${numerics} | ${list(given)} |\n`;
  });
  return `| pass | folder | what it does | requires | provides | preserves | numerics | options |\n|---|---|---|---|---|---|---|---|\n${rows.join('')}`;
}

function fileOf(name: string): string {
  const file = files.find((f) => f.endsWith(`/${name}.ts`));
  if (file === undefined) throw new Error(`passes/ has no file ${name}.ts`);
  return file;
}

/** `name: purpose`, then the paragraphs Before, After, Skips (and others, such as Method) of the file's first comment. */
function head({ name }: AnyPass): string {
  const file = fileOf(name);
  const comment = /^\/\*\*\n(.*?)\n \*\//s.exec(readFileSync(join(folder, file), 'utf8'))?.[1];
  if (comment === undefined) throw new Error(`passes/${file} does not open with a comment`);
  const lines = comment.split('\n').map((line) => line.replace(/^ \* ?/, ''));
  const paragraphs: string[] = [];
  for (const [i, line] of lines.entries()) {
    const opens = i === 0 || lines[i - 1].trim() === '' || /^(?:Before|After|Skips) /.test(line);
    if (opens) paragraphs.push(line.trim());
    else if (line.trim() !== '') paragraphs[paragraphs.length - 1] += ` ${line.trim()}`;
  }
  const shown = paragraphs
    .filter((p) => p !== '')
    .map((p) => p.replace(/^(Before|After|Skips|Method):?\s+/, '**$1** '));
  const purpose = shown[0].replace(`${name}: `, '');
  const rest = shown.slice(1).map((p) => `- ${escape(p)}\n`);
  return `[${file}](${file}): ${escape(purpose)}\n\n${rest.join('')}`;
}

/** `x*1` is no emphasis. */
const escape = (text: string): string =>
  text
    .split(/(`[^`]*`)/)
    .map((part, i) => (i % 2 === 1 ? part : part.replaceAll(/(?<!\*)\*(?!\*)/g, '\\*')))
    .join('');

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(PASS_DOCUMENT, renewPassDocument(readFileSync(PASS_DOCUMENT, 'utf8')));
}
