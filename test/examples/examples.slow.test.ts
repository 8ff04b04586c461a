/** The examples that run a plan core by core. */
import { expect, test } from 'vitest';
import { runExample } from './run.ts';

test('01: the plan is verified', async () => {
  const { code, out, err } = await runExample('01-compile-and-verify.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^fullest core: \d+ of 48128 bytes; \d+ cores used$/m);
  expect(out).toMatch(/ on wse3: verified$/m);
});

test('04: the placed model writes what the model was trained to write', async () => {
  const { code, out, err } = await runExample('04-read-a-plan.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^region 0 at \(\d+,\d+\), /m);
  expect(out).toContain('all_reduce softmax');
  // models/pico/golden.json: greedy tokens of the same prompt.
  expect(out).toContain('function add(a, b) {\n    return "ok";\n    return a - y;\n');
});
