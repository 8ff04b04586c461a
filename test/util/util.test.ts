import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { wantsColor } from '../../src/util/color.ts';
import { diffLines } from '../../src/util/diff.ts';
import { removeTemporaries, writeFileAtomic, writeFolderAtomic } from '../../src/util/files.ts';
import { formatBytes, formatCount, formatInteger, formatSeconds } from '../../src/util/format.ts';
import { progressBar, progressLine } from '../../src/util/progress.ts';
import { normalStream, randomStream } from '../../src/util/rng.ts';
import { editDistance, nearest, suggest } from '../../src/util/suggest.ts';
import { displayWidth, pairs, table } from '../../src/util/table.ts';
import { packageVersion } from '../../src/util/version.ts';

describe('numbers for people', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [48 * 1024, '48.0 KiB'],
    [1.5 * 2 ** 20, '1.50 MiB'],
    [16e9, '14.9 GiB'],
    [-2048, '-2.00 KiB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
  test.each([
    [0, '0'],
    [999, '999'],
    [1000, '1.00k'],
    [999_499, '999k'],
    [999_950, '1.00M'],
    [1_240_000_000, '1.24G'],
    [0.5, '0.50'],
  ])('%d is about %s', (count, text) => expect(formatCount(count)).toBe(text));
  test.each([
    [0, '0'],
    [1234567, '1,234,567'],
    [-1000, '-1,000'],
    [999.25, '999.25'],
    [1e21, '1e+21'],
  ])('%d is %s', (n, text) => expect(formatInteger(n)).toBe(text));
  test.each([
    [1.2, '1.20 s'],
    [0.00456, '4.56 ms'],
    [0.0000123, '12.3 us'],
    [8.5e-7, '850 ns'],
    [0, '0.00 ns'],
  ])('%d seconds are %s', (s, text) => expect(formatSeconds(s)).toBe(text));
});

describe('tables', () => {
  test('line up, without blanks at line ends', () => {
    const text = table(
      [
        { head: 'name', align: 'left' },
        { head: 'n', align: 'right' },
        { head: '', align: 'left' },
      ],
      [
        ['a', '10', ''],
        ['日本', '7', 'x'],
      ],
    );
    expect(text).toBe('name   n\na     10\n日本   7  x\n');
    expect(displayWidth('e\u0301')).toBe(1);
  });
  test('pairs', () =>
    expect(
      pairs(
        [
          ['a', '1'],
          ['long', ''],
        ],
        ' ',
      ),
    ).toBe(' a     1\n long\n'));
});

describe('differences', () => {
  test('hunks', () => {
    expect(diffLines('a\nb\nc\nd\ne', 'a\nb\nX\nd\ne', 1)).toBe('@@ -2 +2 @@\n b\n-c\n+X\n d\n');
    expect(diffLines('same', 'same', 3)).toBe('');
  });
  test('applying a difference gives the new text', () => {
    const lines = fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 12 });
    fc.assert(
      fc.property(lines, lines, (a, b) => {
        if (a.join('\n') === b.join('\n')) return;
        const hunk = diffLines(a.join('\n'), b.join('\n'), 100).split('\n').slice(1, -1);
        const side = (drop: string) =>
          hunk
            .filter((l) => !l.startsWith(drop))
            .map((l) => l.slice(1))
            .join('\n');
        expect([side('+'), side('-')]).toEqual([a.join('\n'), b.join('\n')]);
      }),
    );
  });
});

describe('random numbers', () => {
  test('are the same everywhere', () => {
    const next = randomStream(7, 'place');
    expect([next(), next(), next()].map((x) => Math.round(x * 2 ** 32))).toMatchInlineSnapshot(`
      [
        1741674756,
        3953404732,
        2558105657,
      ]
    `);
  });
  test('streams differ by name and seed, and look uniform', () => {
    const first = (seed: number, name: string) => randomStream(seed, name)();
    expect(new Set([first(0, 'a'), first(0, 'b'), first(1, 'a'), first(10, '')]).size).toBe(4);
    const next = randomStream(0, 'uniform');
    const sample = Array.from({ length: 20_000 }, next);
    expect(Math.abs(sample.reduce((a, b) => a + b, 0) / sample.length - 0.5)).toBeLessThan(0.01);
    expect(sample.every((x) => x >= 0 && x < 1)).toBe(true);
  });
  test('normal numbers have mean 0 and deviation 1', () => {
    const next = normalStream(randomStream(0, 'normal'));
    const sample = Array.from({ length: 20_000 }, next);
    const mean = sample.reduce((a, b) => a + b, 0) / sample.length;
    const variance = sample.reduce((a, b) => a + (b - mean) ** 2, 0) / sample.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.03);
  });
});

describe('suggestions', () => {
  test.each([
    ['comple', 'compile', 1],
    ['ocmpile', 'compile', 1],
    ['', 'abc', 3],
    ['same', 'same', 0],
  ])('%s and %s are %d apart', (a, b, d) => expect(editDistance(a, b)).toBe(d));
  test('only near names are suggested', () => {
    expect(nearest('prune-bloks', ['prune-blocks', 'cse'])).toBe('prune-blocks');
    expect(suggest('xyz', ['prune-blocks', 'cse'])).toBeUndefined();
  });
});

describe('colour', () => {
  test.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [false, { FORCE_COLOR: '1' }, true],
    [true, { FORCE_COLOR: '0' }, false],
    [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
    [true, { TERM: 'dumb' }, false],
  ])('terminal %s with %o: %s', (tty, env, wanted) => expect(wantsColor(tty, env)).toBe(wanted));
});

describe('progress', () => {
  test('draws on a terminal only, not too often, and clears', () => {
    const written: string[] = [];
    let time = 0;
    const write = (text: string) => void written.push(text);
    const bar = progressBar({ isTTY: true, columns: 40, write }, () => time);
    bar.clear();
    bar.update(0, 4, 'x');
    time = 10;
    bar.update(1, 4, 'x');
    bar.update(4, 4, 'x');
    bar.clear();
    expect(written).toHaveLength(3);
    expect(written[2]).toBe('\r\x1b[K');
    progressBar({ write }, () => 0).update(1, 2, 'x');
    expect(written).toHaveLength(3);
  });
  test('fits its line', () => {
    expect(progressLine(1, 2, 'layer 7', 80)).toBe(`[${'='.repeat(11)}>${' '.repeat(12)}]  50 % layer 7`);
    expect(progressLine(0, 0, 'a'.repeat(99), 40)).toHaveLength(39);
  });
});

describe('files', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'wafc-util-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const anything = () => {};

  test('are replaced whole, and leave nothing beside them', () => {
    const path = join(folder, 'a/b.txt');
    writeFileAtomic(path, 'one');
    writeFileAtomic(path, new Uint8Array([50]));
    expect(readFileSync(path, 'utf8')).toBe('2');
    expect(readdirSync(join(folder, 'a'))).toEqual(['b.txt']);
  });

  test('a folder is swapped as a whole', async () => {
    const path = join(folder, 'plan');
    await writeFolderAtomic(path, anything, (at) => writeFileSync(join(at, 'old'), ''));
    await writeFolderAtomic(path, anything, (at) => writeFileSync(join(at, 'new'), ''));
    expect(readdirSync(path)).toEqual(['new']);
    expect(readdirSync(folder)).toEqual(['plan']);
  });

  test('a failure leaves the old folder and no temporary one', async () => {
    const path = join(folder, 'plan');
    await writeFolderAtomic(path, anything, (at) => writeFileSync(join(at, 'old'), ''));
    const fails = writeFolderAtomic(path, anything, () => {
      throw new Error('disk full');
    });
    await expect(fails).rejects.toThrow('disk full');
    const refused = writeFolderAtomic(
      path,
      () => {
        throw new Error('not a plan');
      },
      anything,
    );
    await expect(refused).rejects.toThrow('not a plan');
    expect(readdirSync(path)).toEqual(['old']);
    expect(readdirSync(folder)).toEqual(['plan']);
  });

  test('what an interrupt leaves is removed', async () => {
    let seen = '';
    await expect(
      writeFolderAtomic(join(folder, 'plan'), anything, (at) => {
        seen = at;
        removeTemporaries();
        throw new Error('interrupted');
      }),
    ).rejects.toThrow('interrupted');
    expect(existsSync(seen)).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });
});

test('the version is that of package.json', () => expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/));
