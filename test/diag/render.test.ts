import { describe, expect, test } from 'vitest';
import type { Diagnostic } from '../../src/diag/diagnostic.ts';
import { balanced, errorDocument, renderDiagnostic, renderDiagnostics } from '../../src/diag/render.ts';

const KIB = 1024;
const short: Diagnostic = {
  code: 'fit/sram',
  severity: 'error',
  message: 'c_attn weights do not fit the cores they were given',
  node: '/h.7/attn/c_attn/MatMul',
  where: 'cores (12,0)..(15,7) of wafer-small: 32 cores x 48.0 KiB',
  shortfall: {
    need: 1728 * KIB,
    have: 1536 * KIB,
    terms: [
      { what: 'weights', bytes: 1536 * KIB },
      { what: 'activations', bytes: 128 * KIB },
      { what: 'receive buffers', bytes: 64 * KIB },
    ],
  },
  notes: ['every core got the same share; the fullest is (12,0) at 54.0 of 48.0 KiB'],
  remedies: [
    { flag: '--sparsity 0.57', effect: 'weights 1.29 MiB' },
    { flag: '--weights int8', effect: 'weights 0.75 MiB' },
  ],
};
const plain = { color: false };

describe('text', () => {
  test('all that a diagnostic can say', () => {
    expect(renderDiagnostic(short, plain)).toBe(`error[fit/sram]: c_attn weights do not fit the cores they were given
  node   /h.7/attn/c_attn/MatMul
  where  cores (12,0)..(15,7) of wafer-small: 32 cores x 48.0 KiB
  need   1.69 MiB = weights 1.50 MiB + activations 128.0 KiB + receive buffers 64.0 KiB
  have   1.50 MiB
  short  192.0 KiB (12.5 %)
  note: every core got the same share; the fullest is (12,0) at 54.0 of 48.0 KiB
  any one of these fits:
    --sparsity 0.57  weights 1.29 MiB
    --weights int8   weights 0.75 MiB
`);
  });

  test('the numbers shown add up', () => {
    const text = renderDiagnostic(short, plain);
    const unit = { B: 1, KiB: 1024, MiB: 1024 ** 2 } as const;
    const sizes = (line: string) =>
      [...line.matchAll(/([\d.]+) (B|KiB|MiB)/g)].map(([, n, u]) => Number(n) * unit[u as keyof typeof unit]);
    const lineOf = (word: string) => text.split('\n').find((l) => l.trim().startsWith(word)) ?? '';
    const [need, ...terms] = sizes(lineOf('need'));
    const [have] = sizes(lineOf('have'));
    const [missing] = sizes(lineOf('short'));
    const rounding = 0.005 * 1024 ** 2; // half of the last digit shown
    expect(Math.abs(terms.reduce((a, b) => a + b, 0) - need)).toBeLessThanOrEqual(rounding * terms.length);
    expect(Math.abs(need - have - missing)).toBeLessThanOrEqual(2 * rounding);
  });

  test('what the terms leave is named, and nothing is divided by nothing', () => {
    expect(balanced(10, [{ what: 'a', bytes: 7 }])).toEqual([
      { what: 'a', bytes: 7 },
      { what: 'other', bytes: 3 },
    ]);
    expect(balanced(10, [])).toEqual([]);
    const none = { ...short, shortfall: { need: 10, have: 0, terms: [] } };
    expect(renderDiagnostic(none, plain)).toContain('  need   10 B\n  have   0 B\n  short  10 B\n');
  });

  test('errors come first, and are counted', () => {
    const remark: Diagnostic = { code: 'a/b', severity: 'remark', message: 'first found' };
    const error: Diagnostic = { code: 'a/c', severity: 'error', message: 'found later' };
    expect(renderDiagnostics([remark, error, error], plain)).toBe(
      'error[a/c]: found later\nerror[a/c]: found later\nremark[a/b]: first found\n2 errors, 1 remark\n',
    );
    expect(renderDiagnostics([remark], plain)).toBe('remark[a/b]: first found\n');
  });

  test('colour changes nothing but colour', () => {
    const text = renderDiagnostic(short, { color: true });
    expect(text).toContain('\x1b[31merror[fit/sram]\x1b[0m');
    const codes = ['31', '1', '0'].map((code) => `\x1b[${code}m`);
    const bare = codes.reduce((rest, code) => rest.replaceAll(code, ''), text);
    expect(bare).toBe(renderDiagnostic(short, plain));
  });
});

test('as JSON, a shortfall says how much is missing', () => {
  const document = errorDocument([short], 1);
  expect(document).toMatchObject({
    schema: 'wafc.error/1',
    exitCode: 1,
    diagnostics: [{ shortfall: { short: 192 * KIB } }],
  });
  expect(JSON.parse(JSON.stringify(document))).toEqual(document);
});
