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
    ['colors', colors(1), 'route/colors transports need 2 colors at a core, target changed has 1 (short of 1)'],
    [
      'colors beside those of transports',
      colors(4),
      'route/colors template embed+layer+head: one collective needs 3 colors at a core, 2 are left beside transports (short of 1)',
    ],
    [
      'input queues',
      { queues: { input: 2, output: 6 } },
      'route/queues template embed+layer+head: one collective needs 2 input queues at a core, 1 of 2 are left beside transports (short of 1)',
    ],
    [
      'output queues',
      { queues: { input: 6, output: 1 } },
      'route/queues template embed+layer+head: one collective needs 1 output queues at a core, 0 of 1 are left beside transports (short of 1)',
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
