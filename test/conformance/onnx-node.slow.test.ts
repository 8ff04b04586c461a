/**
 * The ONNX node tests of ../shared/models, suite by suite: everything whose ops are registered must pass, and of the
 * single-node tests for ops of transformers 97 in 100. Skips loudly without them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  modelFiles,
  type NodeTest,
  ofOneOp,
  runSuite,
  summary,
  transformerOps,
  withSupportedOps,
} from './node-report.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const suites = ['onnx-node-v1.22.0', 'onnx-node-old'];
const present = suites.every((suite) => existsSync(join(shared, suite)));

/** Tests that cannot pass, each with the reason. */
const WAIVED: Readonly<Record<string, string>> = {
  'onnx-node-old/v1.18.0/test_attention_4d_with_qk_matmul_bias':
    'onnx#7913 renumbered modes 1 and 2, for opset 23 as well: the same test of v1.22.0 is of opset 23 and says 2 for what this one calls 1',
  'onnx-node-old/v1.4.1/test_cast_STRING_to_FLOAT':
    'its input file holds 4 strings for shape [3,4], and they are addresses of Python objects, not text (onnxruntime refuses it, too)',
};
/** Tests of ops that wafc has, in forms that it does not have: nothing of inference. */
const FORMS: Readonly<Record<string, string>> = {
  'onnx-node-v1.22.0/test_identity_opt': 'an optional, not a tensor',
  'onnx-node-v1.22.0/test_identity_sequence': 'a sequence, not a tensor',
};

/** Share of single-node tests for transformer ops that must pass. */
const SHARE = 0.97;

describe.skipIf(!present)(`ONNX node tests${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  const all: NodeTest[] = [];
  const isWaived = ({ name }: NodeTest): boolean => Object.hasOwn(WAIVED, name);
  const names = (tests: readonly NodeTest[]): string[] => tests.map(({ name }) => name).sort();

  test.each(suites)('%s', (suite) => {
    const tests = runSuite(shared, suite);
    all.push(...tests);
    process.stdout.write(`${suite}: ${summary(tests.filter((t) => !isWaived(t)))}\n`);
    const failed = tests.flatMap((t) =>
      t.outcome.kind === 'failed' && !isWaived(t) ? [`${t.name}: ${t.outcome.why}`] : [],
    );
    expect(failed).toEqual([]);
    // A name of an op, or of the sort of value that is missing.
    for (const { outcome } of tests) if (outcome.kind === 'unsupported') expect(outcome.what.join()).toMatch(/\w/);
  });

  test('all tests of the ops that wafc has pass', () => {
    const tests = withSupportedOps(all);
    process.stdout.write(`ops of the support matrix: ${summary(tests.filter((t) => !isWaived(t)))}\n`);
    const others = tests.filter(({ outcome }) => outcome.kind !== 'passed');
    expect(names(others)).toEqual([...Object.keys(WAIVED), ...Object.keys(FORMS)].sort());
  });

  test(`at least ${SHARE * 100} % of the single-node tests for ops of transformers pass`, () => {
    const index: { model: string; kind: string }[] = JSON.parse(readFileSync(join(shared, 'index.json'), 'utf8'));
    const models = new Set([...index.map(({ model }) => model), ...modelFiles(shared, 'models/exports')]);
    const ops = transformerOps(shared, [...models]);
    const tests = ofOneOp(all, ops);
    const passed = tests.filter(({ outcome }) => outcome.kind === 'passed').length;
    const share = `${((100 * passed) / tests.length).toFixed(1)} % of ${tests.length}`;
    process.stdout.write(`single nodes of the ${ops.size} ops of ${models.size} models: ${share}, ${summary(tests)}\n`);
    expect(ops.size).toBeGreaterThan(60);
    expect(tests.length).toBeGreaterThan(500);
    expect(passed / tests.length).toBeGreaterThanOrEqual(SHARE);
  });
});
