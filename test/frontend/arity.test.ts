/** Every op says how many operands it takes. */
import { expect, test } from 'vitest';
import { arityOf } from '../../src/frontend/arity.ts';
import { kindOf } from '../../src/ops/op.ts';
import { allOps } from '../../src/ops/registry.ts';

/** Its number is an attribute of its own. */
const OWN_RULE = ['Scan'];

test('all ops of ONNX and onnxruntime', () => {
  const kinds = allOps().flatMap(({ domain, name }) => (domain === 'wafc' ? [] : [kindOf(domain, name)]));
  expect(kinds.filter((kind) => arityOf(kind, 1) === undefined)).toEqual(OWN_RULE);
});

test('operands that were attributes are needed as of the opset that made them operands', () => {
  expect(arityOf('Slice', 9)).toEqual({ least: 1, most: 5 });
  expect(arityOf('Slice', 10)).toEqual({ least: 3, most: 5 });
});
