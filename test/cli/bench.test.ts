/** `wafc bench`: rows of a file are scored, and every fault of a file is told. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { benchCommand } from '../../src/cli/bench.ts';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { bench } from '../../src/driver/bench.ts';
import { readPublishedRows } from '../../src/driver/bench-rows.ts';
import type { WaferllmBench } from '../../src/report/bench.ts';
import { parseCsv } from '../../src/util/csv.ts';

const folder = mkdtempSync(join(tmpdir(), 'wafc-bench-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HEAD = 'model,layers,dim,ffn,seq,grid,groups,tok_s,clock_ghz';
const path = join(folder, 'rows.csv');
const withRows = (text: string): string => {
  writeFileSync(path, text);
  return path;
};
/** The findings on a file, its path left out. */
function faults(text: string): string[] {
  try {
    readPublishedRows(withRows(text));
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    return error.diagnostics.map((d) => `${d.where ?? ''} ${d.message}`.replaceAll(`${path} `, '').trim());
  }
  return [];
}
const waferllm = (csv?: string): WaferllmBench =>
  JSON.parse(JSON.stringify(bench({ what: 'waferllm', own: false, ...(csv === undefined ? {} : { csv }) }).json()));

describe('rows of a file', () => {
  test('a row that is known scores as it is known', () => {
    const [known] = waferllm().calibration.rows;
    const text = `\ufeffTok_s , note,${HEAD.replace(',tok_s', '')}\r\n2699.9,"a, ""b""",LLaMA3-8B,32,4200,14700,4200,420x420,20,1.1\r\n\r\n`;
    const { file } = waferllm(withRows(text));
    expect(file?.rows).toEqual([{ ...known, source: 'file' }]);
    expect([file?.meanPercent, file?.worstPercent]).toEqual([known.errorPercent, known.errorPercent]);
  });
  test('mean and worst are of absolute errors; a side as a number; what is outside of the fit is marked', () => {
    const { file } = waferllm(
      withRows(`${HEAD}\na,32,4200,14700,4200,420,20,2699.9,1.1\nb,32,4200,14400,4200,300,15,1000,1.1\n`),
    );
    const [first, second] = file?.rows ?? [];
    expect([first.extrapolation, second.extrapolation]).toEqual([false, true]);
    expect(second.errorPercent).toBeLessThan(-50);
    expect(file?.meanPercent).toBeCloseTo((first.errorPercent - second.errorPercent) / 2, 9);
    expect(file?.worstPercent).toBe(-second.errorPercent);
  });
  test('all faults at once, with their lines', () => {
    expect(
      faults(`${HEAD}\nm,32,4200,14700,4200,420x400,20,fast,1.1\nm,32.5,-1,1e3,4200,420,500,2699.9,\n`),
    ).toMatchInlineSnapshot(`
      [
        "line 2 tok_s is 'fast'; a positive number is expected",
        "line 2 grid is '420x400'; the side of a square region of 2 cores and more, as 420 or 420x420, is expected",
        "line 3 layers is '32.5'; a positive integer is expected",
        "line 3 dim is '-1'; a positive number is expected",
        "line 3 clock_ghz is ''; a positive number is expected",
        "line 3 groups is '500'; at most the side of the region, 420, is expected",
      ]
    `);
    expect(faults('')).toMatchInlineSnapshot(`
      [
        "is empty",
      ]
    `);
    expect(faults(`${HEAD}\n`)).toMatchInlineSnapshot(`
      [
        "has a header and no rows",
      ]
    `);
    expect(faults('model,layers,dim,ffn,seq,grid\n1,2,3,4,5,6\n')).toMatchInlineSnapshot(`
      [
        "has no column groups, tok_s, clock_ghz",
      ]
    `);
    expect(faults(`${HEAD},dim\n`)).toMatchInlineSnapshot(`
      [
        "has column dim more than once",
      ]
    `);
    expect(() => readPublishedRows(join(folder, 'none.csv'))).toThrow(/bench\/csv.*cannot read .*none\.csv/);
    expect(() => readPublishedRows(folder)).toThrow(/bench\/csv.*cannot read/);
  });
  test('any text is read or refused, never anything else', () => {
    const cell = fc.oneof(
      fc.constantFrom('420', '420x420', '1e9', '0', 'NaN', '', '"', '1,2', '-3', '\u0000'),
      fc.string(),
    );
    const row = fc.array(cell, { maxLength: 12 }).map((cells) => cells.join(','));
    fc.assert(
      fc.property(fc.boolean(), fc.array(row, { maxLength: 6 }), (head, rows) => {
        const found = faults([...(head ? [HEAD] : []), ...rows].join('\n'));
        for (const text of found) expect(text).not.toMatch(/undefined|\[object/);
      }),
    );
  });
  test('fields round trip', () => {
    const field = fc.string().map((s) => s.replaceAll('\r', ''));
    fc.assert(
      fc.property(fc.array(fc.array(field, { minLength: 1 }), { minLength: 1 }), (rows) => {
        const text = rows.map((r) => r.map((f) => `"${f.replaceAll('"', '""')}"`).join(',')).join('\n');
        expect(parseCsv(text).map((r) => r.fields)).toEqual(rows.filter((r) => r.some((f) => f !== '')));
      }),
    );
  });
});

describe('text', () => {
  test('measured and predicted are never in one column', () => {
    const text = bench({ what: 'waferllm', own: false }).text();
    expect(text).toMatch(/grid {2}groups {2}published {2}predicted {3}error/);
    expect(text).toMatch(/6 rows: mean error 2\.\d %, worst 4\.\d %/);
  });
  test('calibrate says what was fitted and what is used', () => {
    expect(bench({ what: 'calibrate', own: false }).text()).toContain(
      '0.732 cycles per multiply-accumulate (0.73 is used)',
    );
  });
  test('--csv is for waferllm', async () => {
    const command = benchCommand(async () => {})
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await expect(command.parseAsync(['calibrate', '--csv', 'x'], { from: 'user' })).rejects.toThrow('--csv');
    await expect(command.parseAsync(['nothing'], { from: 'user' })).rejects.toThrow('Allowed choices');
  });
});
