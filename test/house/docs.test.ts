/** What the documents name exists, and what they repeat is what the code says. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PASSES } from '../../passes/index.ts';
import { EXIT } from '../../src/cli/run-program.ts';
import { PASS_DOCUMENT, renewPassDocument } from './pass-table.ts';
import { SUPPORT_PAGE, supportPage } from './support-page.ts';

const root = resolve(import.meta.dirname, '../..');
const text = (file: string): string => readFileSync(join(root, file), 'utf8');
const documents = ['.', 'passes', 'targets', 'models', 'examples', 'test', 'schemas']
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) => readdirSync(join(root, folder)).map((file) => join(folder, file)))
  .filter((file) => file.endsWith('.md'));
const { scripts, version }: { scripts: Record<string, string>; version: string } = JSON.parse(text('package.json'));

/** As GitHub makes anchors of headings. */
const anchors = (markdown: string): Set<string> =>
  new Set(
    [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  );

describe('documents', () => {
  test('the customary ones are there', () => {
    for (const file of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'LICENSE'])
      expect(readdirSync(root)).toContain(file);
  });

  test('links lead to files, and to headings of theirs', () => {
    const broken = documents.flatMap((file) =>
      [...text(file).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link]) => {
        if (/^[a-z]+:/.test(link)) return [];
        const [path, anchor] = link.split('#');
        const to = path === '' ? file : relative(root, resolve(root, dirname(file), path));
        if (!existsSync(join(root, to))) return [`${file}: ${link}`];
        return anchor === undefined || anchors(text(to)).has(anchor) ? [] : [`${file}: no heading for ${link}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  test('files and folders in code marks exist', () => {
    const missing = documents.flatMap((file) =>
      [...text(file).matchAll(/`((?:src|passes|test|targets|models|examples|schemas|\.ci)\/[\w./-]*)`/g)]
        .map(([, path]) => path)
        // FAMILY, NAME and the like stand for a name.
        .filter((path) => !/[A-Z]{2}/.test(path) && !existsSync(join(root, path)))
        .map((path) => `${file}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test('npm scripts that are named exist', () => {
    const named = documents.flatMap((file) =>
      [...text(file).matchAll(/npm run ([\w:-]+)/g)].map(([, script]) => ({ file, script })),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter(({ script }) => !Object.hasOwn(scripts, script))).toEqual([]);
  });

  test('CONTRIBUTING says what every folder of test is for', () => {
    const folders = readdirSync(join(root, 'test'), { withFileTypes: true }).filter((f) => f.isDirectory());
    const said = text('CONTRIBUTING.md');
    // test/ort is where onnxruntime is installed.
    expect(folders.map(({ name }) => name).filter((n) => n !== 'ort' && !said.includes(`\`test/${n}\``))).toEqual([]);
  });

  test('CHANGELOG speaks of this version', () => {
    expect(text('CHANGELOG.md')).toMatch(new RegExp(`^## ${version.replaceAll('.', '\\.')}\\b`, 'm'));
  });

  test('no paths of a machine', () => {
    for (const file of documents) expect(text(file)).not.toMatch(/\/(?:home|root|work|Users)\//);
  });
});

describe('README', () => {
  test('CI runs its second command', () => {
    const commands = [...text('README.md').matchAll(/^```\n(npm ci && .*)\n```$/gm)].map(([, line]) => line);
    expect(commands).toEqual(['npm ci && npm run demo', 'npm ci && npm run check']);
    expect(text('.ci/run').split('\n')).toContain(commands[1]);
  });

  test('its table has every command and no other', () => {
    const wired = readdirSync(join(root, 'src/cli')).flatMap((file) =>
      [...text(`src/cli/${file}`).matchAll(/new Command\('([a-z]+)'\)/g)].map(([, name]) => name),
    );
    const listed = [...text('README.md').matchAll(/^\| `wafc ([a-z]+)/gm)].map(([, name]) => name);
    expect(listed.sort()).toEqual(wired.filter((name) => name !== 'wafc').sort());
  });

  test('its exit codes are the ones of the code', () => {
    const listed = [...text('README.md').matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
    expect(listed).toEqual(Object.values(EXIT));
  });
});

describe('ARCHITECTURE', () => {
  test('its layers are the ones of house.test.ts', () => {
    const block = /^const LAYERS.*?= \[\n(.*?)^\];/ms.exec(text('test/house/house.test.ts'))?.[1] ?? '';
    const rows = [...block.matchAll(/^ {2}\[(.*)\],/gm)].map(([, row]) => row.replaceAll(/['\s]/g, ''));
    const shown = /<!-- layers -->\n```\n(.*?)```/s.exec(text('ARCHITECTURE.md'))?.[1] ?? '';
    expect(shown.trimEnd().split('\n')).toEqual(rows.map((row) => row.replaceAll(',', ' ')));
  });
});

describe('SUPPORT.md', () => {
  test('it is fresh: npm run docs:support', () => {
    expect(readFileSync(SUPPORT_PAGE, 'utf8')).toBe(supportPage());
  });
});

describe('passes/README.md', () => {
  test('its generated parts are fresh: npm run docs:passes', () => {
    const now = readFileSync(PASS_DOCUMENT, 'utf8');
    expect(renewPassDocument(now)).toBe(now);
  });

  test('every section says method, cost and edge cases', () => {
    const sections = text('passes/README.md').split(/^## /m).slice(1);
    expect(sections.map((s) => s.split('\n')[0]).sort()).toEqual(PASSES.map(({ name }) => name).sort());
    const thin = sections.filter((s) => ['**Method', '**Cost.**', '**Edge cases.**'].some((part) => !s.includes(part)));
    expect(thin.map((s) => s.split('\n')[0])).toEqual([]);
  });
});
