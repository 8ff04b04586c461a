/** The registry as a whole. */
import { expect, test } from 'vitest';
import { kindOf } from '../../../src/ops/op.ts';
import { allOps, nearestOps, opFor } from '../../../src/ops/registry.ts';

test('kinds are unique, found, and sorted', () => {
  const kinds = allOps().map((def) => kindOf(def.domain, def.name));
  expect(kinds).toEqual([...new Set(kinds)].sort());
  for (const def of allOps()) expect(opFor(kindOf(def.domain, def.name))).toBe(def);
});

test('versions rise', () => {
  for (const { name, since } of allOps()) expect([name, [...since].sort((a, b) => a - b)]).toEqual([name, since]);
});

test('views say which inputs carry the data, and no other op does', () => {
  const wrong = allOps().filter((def) => def.dataInputs !== undefined && def.trait !== 'view');
  expect(wrong.map((def) => def.name)).toEqual([]);
});

test('misspelt ops have neighbours', () => {
  expect(nearestOps('MatMull')[0]).toBe('MatMul');
  expect(nearestOps('LayerNorm')).toContain('LayerNormalization');
  expect(nearestOps('Rehsape')).toContain('Reshape');
  expect(nearestOps('com.microsoft.QuickGelu2')[0]).toBe('com.microsoft.QuickGelu');
  expect(nearestOps('Zzzzzzzzzz')).toEqual([]);
});
