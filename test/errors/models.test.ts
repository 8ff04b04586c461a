/** One bad model each, and what is said of it in full: code, node, op, place, what was expected and found. */
import { describe, expect, test } from 'vitest';
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import { importOnnx } from '../../src/frontend/import.ts';
import { openModelBytes } from '../../src/onnx/reader.ts';
import { bytes, modelProto, tensorProto } from '../onnx/support.ts';
import { encoded, type Expected } from './bad-models.ts';
import { STRUCTURE_CASES } from './structure-cases.ts';
import { VALUE_CASES } from './value-cases.ts';

/** What `run` ends in; anything but Diagnosed is a fault of wafc. */
function diagnose(run: () => unknown): readonly Diagnostic[] {
  try {
    run();
    return [];
  } catch (error) {
    if (error instanceof Diagnosed) return error.diagnostics;
    throw error;
  }
}

for (const [title, cases] of Object.entries({ ...VALUE_CASES, ...STRUCTURE_CASES })) {
  describe(title, () => {
    for (const [name, model, ...expected] of cases)
      test(name, () => {
        const found = diagnose(() => importOnnx(openModelBytes(model instanceof Uint8Array ? model : encoded(model))));
        expect(found).toEqual(expected.map((d) => ({ severity: 'error', ...d })));
      });
  });
}

const external = (...entries: [string, string][]): Uint8Array =>
  modelProto(
    bytes(5, tensorProto('w', 1, [2], ...entries.map(([k, v]) => bytes(13, bytes(1, k), bytes(2, v))), [14 * 8, 1])),
  );
const outside = (message: string, where?: string): Expected => ({
  code: 'onnx/external-path',
  message,
  ...(where === undefined ? {} : { where }),
});

test('external data of a model without a folder', () => {
  expect(diagnose(() => openModelBytes(external(['location', 'weights.bin'])))).toMatchObject([
    outside('tensor w is in the file weights.bin, but a model from memory has no folder to look in'),
  ]);
});

describe('external data beside a file', () => {
  const path = "it must be a relative path inside the model's folder";
  test.each([
    ['no location', external(), outside(`the location of tensor w is empty; ${path}`, '')],
    [
      '/etc/passwd',
      external(['location', '/etc/passwd']),
      outside(`the location of tensor w is an absolute path; ${path}`, '/etc/passwd'),
    ],
    [
      '../secret',
      external(['location', '../secret']),
      outside(`the location of tensor w leaves the model's folder; ${path}`, '../secret'),
    ],
    [
      'beyond the end',
      external(['location', 'bad-models.ts'], ['offset', '900000']),
      {
        code: 'onnx/external-range',
        message: expect.stringMatching(/^tensor w is bytes 900000 \.\. 900008 of bad-models\.ts, which has \d+$/),
      },
    ],
    [
      'another length',
      external(['location', 'bad-models.ts'], ['length', '4']),
      { code: 'onnx/external-range', message: 'tensor w has 4 bytes in bad-models.ts, but its shape needs 8' },
    ],
    [
      'an offset that is no number',
      external(['location', 'bad-models.ts'], ['offset', '-1']),
      { code: 'onnx/external-range', message: 'the offset of tensor w is "-1"; it must be a count of bytes' },
    ],
  ] as [string, Uint8Array, Expected][])('%s', (_, model, expected) => {
    expect(diagnose(() => openModelBytes(model, import.meta.dirname))).toEqual([{ severity: 'error', ...expected }]);
  });
});
