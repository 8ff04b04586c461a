/** The ONNX node tests of ../shared/models: everything whose ops are registered must pass. Skips loudly without them. */
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { nodeTests, runNodeTest } from './node-suite.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const suites = ['onnx-node-v1.22.0', 'onnx-node-old'].map((name) => join(shared, name)).filter(existsSync);

/** Tests that cannot pass, each with the reason. */
const WAIVED: Readonly<Record<string, string>> = {
  'onnx-node-old/v1.18.0/test_attention_4d_with_qk_matmul_bias': 'mode 1 was renumbered by onnx#7913, which covers 23',
  'onnx-node-old/v1.4.1/test_cast_STRING_to_FLOAT': 'its input file holds 3 of 12 strings',
  'onnx-node-old/v1.12.0/test_castlike_BFLOAT16_to_FLOAT_expanded':
    'the input file disagrees with the shape in its model',
  'onnx-node-old/v1.14.1/test_castlike_BFLOAT16_to_FLOAT_expanded':
    'the input file disagrees with the shape in its model',
};

test.skipIf(suites.length === 0)(
  `ONNX node tests${suites.length === 0 ? ': NOT RUN, no ../shared/models' : ''}`,
  () => {
    let passed = 0;
    let waived = 0;
    const missing = new Map<string, number>();
    const failed: string[] = [];
    let unsupported = 0;
    for (const folder of suites.flatMap(nodeTests)) {
      const name = relative(shared, folder);
      const outcome = runNodeTest(folder);
      if (outcome.kind === 'passed') passed++;
      else if (outcome.kind === 'failed' && Object.hasOwn(WAIVED, name)) waived++;
      else if (outcome.kind === 'failed') failed.push(`${name}: ${outcome.why}`);
      else {
        unsupported++;
        for (const what of new Set(outcome.what)) missing.set(what, (missing.get(what) ?? 0) + 1);
      }
    }
    const list = [...missing].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).map(([what, n]) => `${n} x ${what}`);
    const summary = `${passed} passed, ${waived} waived, ${unsupported} unsupported, ${failed.length} failed`;
    process.stdout.write(`${[summary, ...list].join('\n')}\n`);
    expect(failed).toEqual([]);
  },
);
