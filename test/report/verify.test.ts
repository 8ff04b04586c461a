/** What verify says: every op as text, and the page, from a run that went wrong on purpose. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { verify } from '../../src/index.ts';
import type { Plan } from '../../src/plan/types.ts';
import { readPlan } from '../../src/plan/read.ts';
import { renderVerifyHtml } from '../../src/report/verify-html.ts';
import type { VerifyResult } from '../../src/report/verify-result.ts';
import { renderVerify } from '../../src/report/verify-text.ts';
import { compileTiny } from '../plan/tiny-plan.ts';

let plan: Plan;
let result: VerifyResult;
let folder = '';

beforeAll(async () => {
  ({ folder } = await compileTiny('tiny-llama'));
  plan = readPlan(folder);
  const answer = await verify({ plan: folder, tokens: 3, generate: 2, html: join(folder, '..', 'verify.html') });
  result = answer.json() as VerifyResult;
});

test('every op of every stage has its own node, its distance and its noise', () => {
  const { ops } = result;
  expect(new Set(ops.map(({ stage }) => stage)).size).toBe(plan.stages.length);
  for (const { maxRel, bound, cosine, sqnrDb } of ops) {
    expect(maxRel).toBeLessThanOrEqual(bound);
    expect(cosine).toBeGreaterThan(0.999999);
    // f32 sums in another order: more than 90 dB.
    expect(sqnrDb ?? 200).toBeGreaterThan(90);
  }
  const layers = plan.stages.filter(({ template }) => plan.stages.filter((s) => s.template === template).length > 1);
  const nodes = layers.map(({ name }) => ops.filter(({ stage }) => stage === name).map(({ node }) => node));
  expect(nodes.length).toBeGreaterThan(1);
  expect(nodes[0].some((node) => nodes[1].includes(node))).toBe(false);
});

describe('text', () => {
  test('the worst of each stage, or all', () => {
    const [brief, full] = [renderVerify(result, plan), renderVerify(result, plan, true)];
    expect(full.split('\n').length - brief.split('\n').length).toBe(result.ops.length - plan.stages.length);
    expect(full).toMatch(/^ {2}stage +op +max abs +max rel +bound +cosine +SQNR dB$/m);
    expect(full).not.toContain('OUT');
  });
  test('what is out of its bound is marked, and named first', () => {
    const ops = result.ops.map((op, i) => (i === 3 ? { ...op, maxRel: 0.5 } : op));
    const wrong = { ...result, ops, firstOut: ops[3], passed: false };
    expect(renderVerify(wrong, plan, true).match(/OUT$/gm)).toHaveLength(1);
    expect(renderVerify(wrong, plan)).toContain(`first op out of its bound: ${ops[3].node} in stage ${ops[3].stage}`);
  });
  test('perplexity', () => {
    const quality = { predictions: 256, nll: 0.5, perplexity: Math.exp(0.5) };
    const placed = { predictions: 128, nll: 0.6000001, referenceNll: 0.6 };
    const perplexity = { text: 'a.txt', tokenizer: 'bytes', windows: 2, window: 128, reference: quality, placed };
    expect(renderVerify({ ...result, perplexity }, plan)).toContain(
      'perplexity 1.6487 on a.txt (bytes): 0.50000 nats a token over 2 windows of 128, reference executor\n' +
        'placed, first window: 0.60000 nats a token; the reference on the same tokens: 0.60000\n',
    );
  });
});

describe('page', () => {
  test('one file with all ops and outputs, and nothing from outside', () => {
    const page = readFileSync(join(folder, '..', 'verify.html'), 'utf8');
    expect(page).toBe(renderVerifyHtml(result, plan));
    // Heads of three tables, a row an op and an output, and one for each executor that generated.
    expect(page.match(/<tr/g)).toHaveLength(3 + result.ops.length + result.outputs.length + 2);
    expect(page).not.toMatch(/https?:|src=|href=|@import|url\(/);
    expect(page).toContain('verified');
  });
  test('names from a model are text, never markup', () => {
    const evil = '</td><script>alert("&")</script>';
    const ops = [{ ...result.ops[0], node: evil, stage: evil, maxRel: Number.POSITIVE_INFINITY }];
    const page = renderVerifyHtml(
      { ...result, ops, firstOut: ops[0], passed: false },
      { ...plan, model: { ...plan.model, name: evil } },
    );
    expect(page).not.toContain('alert("');
    expect(page.match(/<script>/g)).toHaveLength(1);
    expect(page).toContain('NOT verified');
    expect(page.match(/<tr class=out/g)).toHaveLength(1);
  });
});
