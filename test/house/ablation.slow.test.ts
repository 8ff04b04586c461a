import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { renewAblation } from './ablation.ts';
import { PASS_DOCUMENT } from './pass-table.ts';

test('what each rewrite saves is fresh: npm run docs:ablation', () => {
  const text = readFileSync(PASS_DOCUMENT, 'utf8');
  expect(renewAblation(text)).toBe(text);
});
