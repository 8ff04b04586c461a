/** A mesh that is too small: need, have and short by term, and remedies that were tried. This test tries them again. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compile, type CompileOptions, type Diagnostic } from '../../src/index.ts';
import { renderDiagnostics } from '../../src/diag/render.ts';
import { formatBytes } from '../../src/util/format.ts';
import { loadTarget } from '../../src/target/load.ts';
import { PICO } from './support.ts';

interface NoFit {
  readonly fits: false;
  readonly shortfall: {
    readonly needBytes: number;
    readonly haveBytes: number;
    readonly terms: readonly { readonly what: string; readonly bytes: number }[];
    readonly remedies: readonly { readonly flag: string; readonly effect: string; readonly fits: true }[];
  };
  readonly diagnostics: readonly Diagnostic[];
}

/** The options with a remedy's flag. */
function remedied(options: CompileOptions, flag: string): CompileOptions {
  const [name, value, ...rest] = flag.split(' ');
  if (rest.length > 0 || value === undefined) throw new Error(`flag '${flag}'`);
  if (name === '--target') return { ...options, target: value };
  if (name === '--context' || name === '--batch') return { ...options, [name.slice(2)]: Number(value) };
  throw new Error(`a remedy nobody can try: ${flag}`);
}

const CASES: readonly (CompileOptions & { readonly name: string; readonly expected: readonly string[] })[] = [
  { name: 'decoder_with_past', model: '', target: 'mesh-4x4', context: 512, expected: ['--target'] },
  { name: 'decoder_with_past', model: '', target: 'mesh-8x8', context: 2048, expected: ['--context', '--target'] },
  {
    name: 'decoder_with_past',
    model: '',
    target: 'mesh-8x8',
    context: 512,
    batch: 8,
    expected: ['--context', '--batch', '--target'],
  },
  { name: 'reviewer_with_past', model: '', target: 'mesh-8x8', context: 64, expected: ['--target'] },
];

describe.each(CASES)('$name on $target, context $context, batch $batch', ({ name, expected, ...given }) => {
  const options = { ...given, model: join(PICO, `${name}.onnx`) };
  test('is an answer, and its remedies fit', async () => {
    const answer = await compile(options);
    expect(answer.exitCode).toBe(1);
    const report = answer.json() as NoFit;
    expect(report.fits).toBe(false);
    const { needBytes, haveBytes, terms, remedies } = report.shortfall;
    expect(haveBytes).toBe(loadTarget(options.target).sramBytes);
    expect(needBytes).toBeGreaterThan(haveBytes);
    expect(terms.reduce((n, t) => n + t.bytes, 0)).toBe(needBytes);
    for (const { bytes } of terms) expect(bytes).toBeGreaterThanOrEqual(0);
    expect(terms.map((t) => t.what)).toEqual(expect.arrayContaining(['weights', 'KV cache', 'code', 'stack']));
    expect(remedies.map((r) => r.flag.split(' ')[0])).toEqual(expected);
    for (const { flag, fits } of remedies) {
      expect(fits).toBe(true);
      const again = await compile(remedied(options, flag));
      expect({ flag, exitCode: again.exitCode }).toEqual({ flag, exitCode: 0 });
    }
    // The longest context: the next power of two does not fit.
    const context = remedies.find((r) => r.flag.startsWith('--context'));
    if (context) {
      const longer = 2 * Number(context.flag.split(' ')[1]);
      if (longer < (options.context ?? 0)) expect((await compile({ ...options, context: longer })).exitCode).toBe(1);
    }
    const text = renderDiagnostics(answer.diagnostics, { color: false });
    for (const number of [needBytes, haveBytes, needBytes - haveBytes]) expect(text).toContain(formatBytes(number));
    for (const { flag } of remedies) expect(text).toContain(flag);
  });
});
