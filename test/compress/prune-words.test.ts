/** `--prune`: what is read, what is refused, which passes follow in which order. */
import { describe, expect, test } from 'vitest';
import { isRefused, parsePrune } from '../../src/compress/prune/words.ts';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { compressionSteps } from '../../src/driver/compression-steps.ts';
import { sparseWarning } from '../../src/driver/pruning.ts';
import { type CompressionArguments, NO_COMPRESSION } from '../../src/driver/contract.ts';

test.each([
  ['wanda:0.5', { method: 'wanda', structure: 'row', sparsity: 0.5, owl: false }],
  ['magnitude:.3', { method: 'magnitude', structure: 'row', sparsity: 0.3 }],
  ['sparsegpt:0.5', { method: 'sparsegpt', structure: 'layer', sparsity: 0.5 }],
  ['sparsegpt:0.5:tile,owl', { method: 'sparsegpt', structure: 'tile', sparsity: 0.5, owl: true }],
  ['wanda:0:layer', { structure: 'layer', sparsity: 0 }],
  ['wanda:1', { structure: 'row', sparsity: 1 }],
  ['2:4', { method: undefined, structure: 'n:m', keep: 2, of: 4, sparsity: 0.5 }],
  ['wanda:1:4', { method: 'wanda', structure: 'n:m', keep: 1, of: 4, sparsity: 0.75 }],
  ['ffn:0.25', { kind: 'ffn', share: 0.25, greedy: false }],
  ['ffn:0.25,obs', { kind: 'ffn', greedy: true }],
  ['heads:0.5', { kind: 'heads', share: 0.5 }],
  ['depth:2', { kind: 'depth', count: 2 }],
  ['reap:0.25', { kind: 'reap', share: 0.25 }],
  ['auto', { kind: 'auto' }],
])('%s', (word, expected) => expect(parsePrune(word)).toMatchObject(expected));

test.each([
  ['wanda', 'share from 0 to 1'],
  ['wanda:1.5', 'share from 0 to 1'],
  ['wanda:-0.5', 'share from 0 to 1'],
  ['wanda:1e-1', 'share from 0 to 1'],
  ['wanda:0.5:block', 'none of row, tile, layer'],
  ['wanda:0.5:row:tile', 'none of row, tile, layer'],
  ['wanda:0.5,obs', 'cannot follow a comma'],
  ['4:4', '1 <= N < M'],
  ['0:4', '1 <= N < M'],
  ['2:4:row', 'cannot follow 2:4'],
  ['2:4,owl', 'the same everywhere'],
  ['ffn:1', 'not including, 1'],
  ['heads:0.5,obs', 'cannot follow heads'],
  ['depth:0', 'depth:1'],
  ['depth:1.5', 'depth:1'],
  ['taylor:0.5', 'no way of pruning'],
  ['auto:1', 'takes nothing more'],
  ['', 'no way of pruning'],
])('%s is refused', (word, reason) => {
  const found = parsePrune(word);
  expect(isRefused(found) && found.problem).toContain(reason);
});

describe('passes', () => {
  const steps = (args: Partial<CompressionArguments>): string[] =>
    compressionSteps({ ...NO_COMPRESSION, ...args }).map(({ pass }) => pass.name);
  const refusal = (args: Partial<CompressionArguments>): string => {
    try {
      steps(args);
    } catch (error) {
      if (error instanceof Diagnosed) return error.diagnostics[0].message;
      throw error;
    }
    return '';
  };

  test('scales, then masks, then codes', () => {
    const quantize = { quantize: 'int4', algo: 'awq+gptq', calib: 'text' } as const;
    expect(steps({ ...quantize, prune: ['wanda:0.5'] })).toEqual(['scale-inputs', 'prune-weights', 'quantize-weights']);
    expect(steps({ prune: ['magnitude:0.5'] })).toEqual(['prune-weights']);
  });

  test('sparsegpt rounds in the same sweep, to the formats of --quantize', () => {
    const options = (prune: string): Readonly<Record<string, unknown>> =>
      compressionSteps({
        ...NO_COMPRESSION,
        quantize: 'int4',
        override: ['down=int8'],
        calib: 'text',
        prune: [prune],
      })[0].options;
    expect(options('sparsegpt:0.5')).toMatchObject({ format: 'int4', head: 'int8', overrides: ['down=int8'] });
    expect(options('wanda:0.5')).toMatchObject({ format: 'keep' });
  });

  test('2:4 takes the best method there is', () => {
    const method = (more: Partial<CompressionArguments>): unknown =>
      compressionSteps({ ...NO_COMPRESSION, ...more, prune: ['2:4'] })[0].options['method' as never];
    expect([method({}), method({ calib: 'text' })]).toEqual(['magnitude', 'sparsegpt']);
  });

  test('a warning where int4 takes less room', () => {
    const codes = (quantize: string, prune: string): string[] =>
      sparseWarning({ ...NO_COMPRESSION, quantize, prune: [prune] }).map(({ message }) => message);
    expect(codes('int8', 'wanda:0.5')).toEqual([
      '50 % of the weights in 8 bits take 5.00 bits a weight; all of them in int4 take 4.625, and lose less',
    ]);
    expect(codes('int8', 'wanda:0.6')).toEqual([]);
    expect(codes('int4', 'wanda:0.5')).toEqual([]);
    expect(codes('keep', 'wanda:0.7')).toHaveLength(1);
    expect(codes('keep', 'wanda:0.8')).toEqual([]);
    expect(codes('int8', 'ffn:0.5')).toEqual([]);
  });

  test('what looks at inputs needs a text', () => {
    expect(refusal({ prune: ['wanda:0.5'] })).toBe('--prune wanda:0.5 needs inputs to look at');
    expect(refusal({ prune: ['magnitude:0.5,owl'] })).toBe('--prune magnitude:0.5,owl needs inputs to look at');
    expect(refusal({ prune: ['magnitude:0.1', '2:4'] })).toContain('given twice');
    expect(refusal({ prune: ['auto', 'ffn:0.1'] })).toContain('chooses by itself');
    expect(refusal({ prune: ['half'] })).toContain("'half' is no way of pruning");
  });
});
