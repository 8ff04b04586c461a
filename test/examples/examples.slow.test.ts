/** Every example, in a process of its own: as its reader runs it. */
import { expect, test } from 'vitest';
import { runExample } from './run.ts';

test('01: the plan is verified', async () => {
  const { code, out, err } = await runExample('01-compile-and-verify.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^fullest core: \d+ of 48128 bytes; \d+ cores used$/m);
  expect(out).toMatch(/ on wse3: verified$/m);
});

test('02: what is short adds up, and a remedy is named', async () => {
  const { code, out, err } = await runExample('02-why-it-does-not-fit.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^exit code 1\nfit\/sram: /);
  const [need, have, short] = /need (\d+) bytes, have (\d+), short (\d+)/.exec(out)?.slice(1).map(Number) ?? [];
  expect(need - have).toBe(short);
  const terms = [...out.matchAll(/^ {4}\S.* (\d+)$/gm)].map(([, n]) => Number(n));
  expect(terms.reduce((a, b) => a + b, 0)).toBe(need);
  expect(out).toContain('fits with --');
});

test('03: a target file is used, an unknown name is explained', async () => {
  const { code, out, err } = await runExample('03-own-target.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('on my-mesh: fits');
  expect(out).toContain('1,144 usable');
  expect(out).toContain("no target 'mesh-12x12'");
});

test('04: the placed model writes what the model was trained to write', async () => {
  const { code, out, err } = await runExample('04-read-a-plan.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^region 0 at \(\d+,\d+\), /m);
  expect(out).toContain('all_reduce softmax');
  // models/pico/golden.json: greedy tokens of the same prompt.
  expect(out).toContain('function add(a, b) {\n    return "ok";\n    return a - y;\n');
});

test('05: f16 weights take less SRAM', async () => {
  const { code, out, err } = await runExample('05-own-pass.ts');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const [before, after] = [...out.matchAll(/: (\d+) bytes on the fullest core/g)].map(([, n]) => Number(n));
  expect(after).toBeLessThan(before);
});
