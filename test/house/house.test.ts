/** Rules of the house that no other tool holds. Failures name file and line. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CODES } from '../../src/diag/codes.ts';
import type { AnyPass } from '../../src/pass/pass.ts';

const root = resolve(import.meta.dirname, '../..');
const sources = ['src', 'passes', 'targets', 'models']
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(folder, file)),
  )
  .sort();
const linesOf = new Map(sources.map((file) => [file, readFileSync(join(root, file), 'utf8').split('\n')]));

/** `file:line: text` of every line that `bad` holds of. */
function offenders(files: readonly string[], bad: (line: string, file: string) => boolean): string[] {
  return files.flatMap((file) =>
    (linesOf.get(file) ?? []).flatMap((line, i) => (bad(line, file) ? [`${file}:${i + 1}: ${line.trim()}`] : [])),
  );
}

/** A folder may import from its own and from folders of earlier rows. */
const LAYERS: readonly (readonly string[])[] = [
  ['util'],
  ['diag'],
  ['ir'],
  ['tensor', 'tokenizer', 'kernels'],
  ['onnx'],
  ['ops', 'target'],
  ['cost'],
  ['plan'],
  ['exec', 'sim', 'verify'],
  ['eval', 'frontend', 'match', 'pass'],
  ['compress', 'lift', 'map', 'partition'],
  ['route', 'schedule'],
  ['passes'],
  ['report', 'emit', 'generate'],
  ['driver'],
  ['cli'],
  ['runtime'],
  ['cli.ts', 'index.ts', 'examples'],
];
const rankOf = (layer: string): number => LAYERS.findIndex((row) => row.includes(layer));
const layerOf = (file: string): string => {
  const [top, second] = file.split('/');
  if (top !== 'src') return top;
  return second === 'place' ? 'map' : second; // the search over regions asks whether they can be placed
};

describe('house rules', () => {
  test('imports go one way', () => {
    const code = sources.filter((file) => file.startsWith('src/') || file.startsWith('passes/'));
    const wrong = offenders(code, (line, file) => {
      const target = /(?:from|import\() ?'(\.[^']+)'/.exec(line)?.[1];
      if (target === undefined) return false;
      const to = layerOf(relative(root, resolve(root, dirname(file), target)));
      const from = layerOf(file);
      return from !== to && rankOf(to) >= rankOf(from);
    });
    expect(wrong).toEqual([]);
  });

  test('every folder of src has its place in the layers', () => {
    const unknown = new Set(sources.map(layerOf).filter((layer) => rankOf(layer) < 0));
    expect([...unknown].filter((layer) => layer !== 'targets' && layer !== 'models')).toEqual([]);
  });

  test('nothing depends on chance or on the time of day', () => {
    expect(offenders(sources, (line) => /\bMath\.random\b|\bDate\.now\b|\bnew Date\b/.test(line))).toEqual([]);
  });

  test('files have at most 400 lines', () => {
    const long = [...linesOf].filter(([, lines]) => lines.length - 1 > 400).map(([f, l]) => `${f}: ${l.length - 1}`);
    expect(long).toEqual([]);
  });

  test('names of files are kebab-case', () => {
    expect(sources.filter((file) => !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*[/.])+ts$/.test(file))).toEqual([]);
  });

  test('relative imports say .ts', () => {
    expect(offenders(sources, (line) => /from '\.[^']*(?<!\.ts|\.json)'/.test(line))).toEqual([]);
  });

  test('a pass has one name: that of its file', async () => {
    const passes = sources.filter((file) => /^passes\/\d-[a-z]+\/[^/]+\.ts$/.test(file));
    for (const file of passes) {
      const { default: pass }: { default?: AnyPass } = await import(join(root, file));
      if (pass !== undefined) expect(`passes/${file.split('/')[1]}/${pass.name}.ts`).toBe(file);
    }
  });
});

describe('diagnostic codes', () => {
  const areas = new Set(Object.keys(CODES).map((code) => code.split('/')[0]));
  const used = new Map<string, string>();
  for (const [file, lines] of linesOf) {
    if (file.startsWith('src/diag/codes')) continue;
    for (const [i, line] of lines.entries()) {
      for (const [, before, code] of line.matchAll(/(code: |from )?'([a-z]+\/[a-z0-9-]+)'/g)) {
        if (before === 'from ') continue;
        if (before === 'code: ' || areas.has(code.split('/')[0])) used.set(code, `${file}:${i + 1}`);
      }
    }
  }
  test('every code in the source is explained', () => {
    expect([...used].filter(([code]) => !Object.hasOwn(CODES, code)).map(([code, at]) => `${code} (${at})`)).toEqual(
      [],
    );
  });
  test('every explained code is in the source', () => {
    expect(Object.keys(CODES).filter((code) => !used.has(code))).toEqual([]);
  });
  test('entries are whole', () => {
    for (const [code, { title, why, fix }] of Object.entries(CODES)) {
      expect(code).toMatch(/^[a-z]+\/[a-z0-9-]+$/);
      expect(`${code} ${title}`).not.toMatch(/\.$/);
      for (const text of [why, fix]) expect(`${code}: ${text}`).toMatch(/[.)]$/);
    }
  });
});

describe('documents', () => {
  const documents = readdirSync(root).filter((file) => file.endsWith('.md'));
  test('links to files of the repository exist', () => {
    const broken = documents.flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map(([, link]) => link)
        .filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, link)))
        .map((link) => `${file}: ${link}`),
    );
    expect(broken).toEqual([]);
  });
});
