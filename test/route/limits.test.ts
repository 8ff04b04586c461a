/** Targets that have too little for any algorithm: what is said, in full. */
import { describe, expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import type { Target } from '../../src/ir/target.ts';
import { compileOn } from './support.ts';

const colors = (count: number): Partial<Target> => ({
  colors: { usable: [0, 1, 2, 3].slice(0, count), switchable: [0, 1, 2, 3].slice(0, count) },
});

describe('too little', () => {
  test.each<[string, Partial<Target>, string]>([
    ['colors', colors(2), 'route/colors transports need 3 colors at a core, target changed has 2 (short of 1)'],
    [
      'colors beside those of transports',
      colors(4),
      'route/colors template layer: one collective needs 4 colors at a core, 1 are left beside transports (short of 3)',
    ],
    [
      'input queues',
      { queues: { input: 3, output: 6 } },
      'route/queues template layer: one collective needs 2 input queues at a core, 1 of 3 are left beside transports (short of 1)',
    ],
    [
      'output queues',
      { queues: { input: 6, output: 1 } },
      'route/queues template layer: one collective needs 2 output queues at a core, 0 of 1 are left beside transports (short of 2)',
    ],
  ])('%s', async (_, change, message) => {
    const failure = await compileOn('tiny-llama', change).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(Diagnosed);
    const said = failure instanceof Diagnosed ? failure.diagnostics.map((d) => `${d.code} ${d.message}`) : [];
    expect(said).toEqual([message]);
  });
});
