/** Figures of quality against numbers by hand, on a model whose logits are a table. */
import { describe, expect, test } from 'vitest';
import { Evaluator } from '../../src/eval/evaluate.ts';
import type { Model } from '../../src/eval/sequence.ts';
import type { IoRole } from '../../src/ir/facts.ts';
import { parseGraph } from '../../src/ir/parse.ts';

/** The logits of the next token depend on the last one only. */
const table = (rows: string): Model => ({
  graph: parseGraph(`graph table opset 17 (%ids: i64[1,S]) -> %logits {
  %t = const f32[2,2] [${rows}]
  %logits: f32[1,S,2] = wafc.embedding %t, %ids
}`),
  roles: new Map<string, IoRole>([['ids', { kind: 'tokens' }]]),
});
/** log 3: the first token has 3/4 of the probability. */
const LOG3 = Math.log(3);
const dense = table(`${LOG3}, 0, 0, 0`);
const windows = [Int32Array.of(0, 0, 1), Int32Array.of(1, 0)];

describe('Evaluator', () => {
  test('perplexity is the inverse of the geometric mean of the probabilities', () => {
    // p(0|0) = 3/4, p(1|0) = 1/4, p(0|1) = 1/2
    const { predictions, nll, perplexity } = new Evaluator(dense, windows).quality();
    expect(predictions).toBe(3);
    expect(perplexity).toBeCloseTo((0.75 * 0.25 * 0.5) ** (-1 / 3), 6);
    expect(nll).toBeCloseTo(Math.log(perplexity), 12);
  });
  test('a model is no distance from itself', () => {
    const same = new Evaluator(dense, windows).compare(dense);
    expect(same).toMatchObject({ klMean: 0, klP99: 0, agreement: 1 });
    expect(same.cosine).toBeCloseTo(1, 6);
    expect(same.perplexity).toBe(same.dense.perplexity);
  });
  test('a logit of all words shifted is the same model', () => {
    expect(new Evaluator(dense, windows).compare(table(`${LOG3 + 7}, 7, -2, -2`)).klMean).toBeCloseTo(0, 6);
  });
  test('divergence and agreement, by hand', () => {
    // After 0: (3/4, 1/4) against (1/4, 3/4), twice; after 1 the same.
    const found = new Evaluator(dense, windows).compare(table(`0, ${LOG3}, 0, 0`));
    expect(found.klMean).toBeCloseTo((2 / 3) * 0.5 * LOG3, 6);
    expect(found.klP99).toBeCloseTo(0.5 * LOG3, 6);
    expect(found.agreement).toBeCloseTo(1 / 3, 12);
  });
});
