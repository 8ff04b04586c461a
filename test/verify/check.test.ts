/** `wafc check` on plans as written, edited by hand, and without weights or model. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import { check } from '../../src/index.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import type { CheckResult } from '../../src/report/check-result.ts';
import { RULES } from '../../src/verify/rules.ts';
import { type Compiled, compileTiny, temporaryFolder } from '../plan/tiny-plan.ts';

const TINY_LLAMA = CONFIGS.get('tiny-llama');
if (TINY_LLAMA === undefined) throw new Error('no model tiny-llama');

let compiled: Compiled;
beforeAll(async () => {
  compiled = await compileTiny('tiny-llama', { target: 'mesh-16x16' });
});

/** The plan's folder, changed. */
function edited(change: (folder: string) => void): string {
  const folder = temporaryFolder();
  cpSync(compiled.folder, folder, { recursive: true });
  change(folder);
  return folder;
}

/** plan.json with `from` replaced by `to`, once. */
const text = (from: string | RegExp, to: string) => (folder: string) => {
  const path = join(folder, 'plan.json');
  const before = readFileSync(path, 'utf8');
  const after = before.replace(from, to);
  expect(after).not.toBe(before);
  writeFileSync(path, after);
};
const flipByte = (at: number) => (folder: string) => {
  const path = join(folder, 'weights.bin');
  const bytes = readFileSync(path);
  bytes[at] ^= 1;
  writeFileSync(path, bytes);
};

/** Exit code, rules broken, and families not checked. */
function outcome(plan: string, model?: string) {
  const answer = check({ plan, ...(model === undefined ? {} : { model }) });
  const { passed, families } = answer.json() as CheckResult;
  expect(passed).toBe(answer.exitCode === 0);
  expect(answer.text().split('\n')[0]).toMatch(passed ? /: holds$/ : /: does NOT hold$/);
  return {
    exitCode: answer.exitCode,
    broken: [...new Set(families.flatMap((f) => f.faults.map((d) => d.code.slice('verify/'.length))))],
    open: families.filter((f) => !f.checked).map((f) => `${f.name}: ${f.reason}`),
  };
}

test('what compile writes holds', () =>
  expect(outcome(compiled.folder)).toEqual({ exitCode: 0, broken: [], open: [] }));

test('a byte of a weight', () =>
  expect(outcome(edited(flipByte(0)))).toEqual({ exitCode: 3, broken: ['W3', 'W4', 'C3'], open: [] }));

test('a region that was moved off the fabric', () =>
  expect(outcome(edited(text(/("regions": ?\[\s*\{[^}]*"x": ?)\d+/, '$1999'))).broken).toEqual(['P1']));

test('the peak of an SRAM map', () =>
  expect(outcome(edited(text(/"peakBytes": ?\d+/, '"peakBytes":1'))).broken).toEqual(['F4']));

test('no model to compare with', () => {
  const folder = edited((to) => rmSync(join(to, 'model.onnx')));
  const open = ['coverage: the plan has no model.onnx; --model names one'];
  expect(outcome(folder)).toEqual({ exitCode: 0, broken: [], open });
  expect(outcome(folder, join(compiled.folder, 'model.onnx'))).toEqual({ exitCode: 0, broken: [], open: [] });
});

test('another model of the same shapes', () => {
  const other = join(temporaryFolder(), 'other.onnx');
  writeModel(other, buildModel({ ...TINY_LLAMA, seed: 7 }));
  expect(outcome(compiled.folder, other)).toEqual({ exitCode: 3, broken: ['C3'], open: [] });
});

/** Files whose rules have another name. */
const FAMILY: Readonly<Record<string, string>> = { plan: 'weights.bin', time: 'schedule', links: 'stages' };

test.each(['graph', 'links', 'layouts', 'placement', 'fit', 'routing', 'time', 'plan', 'coverage'])(
  'the head of %s.ts says its rules',
  (name) => {
    const source = readFileSync(join(import.meta.dirname, `../../src/verify/${name}.ts`), 'utf8');
    const head = source.slice(0, source.indexOf('*/'));
    const stated = Object.fromEntries(
      [...head.matchAll(/^ \* ([A-Z]\d+):? +(.*)$/gm)].map(([, id, holds]) => [id, holds]),
    );
    expect(stated).toEqual(RULES.find((f) => f.name === (FAMILY[name] ?? name))?.rules);
  },
);
