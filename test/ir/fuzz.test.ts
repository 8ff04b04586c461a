/** Whatever the text, the parser gives a graph or a located diagnostic. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { parseGraph } from '../../src/ir/parse.ts';
import { printGraph } from '../../src/ir/print.ts';
import { randomGraph } from '../support/random-graph.ts';

function parses(text: string): void {
  try {
    const printed = printGraph(parseGraph(text));
    expect(printGraph(parseGraph(printed))).toBe(printed);
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    for (const { code, where } of error.diagnostics) {
      // Contents of labels that the text does not hold are asked for when a view of them is small.
      if (code === 'wir/opaque') continue;
      expect(code).toMatch(/^wir\//);
      expect(where).toMatch(/^text \d+:\d+$/);
    }
  }
}

const piece = fc.constantFrom(
  '%',
  '"',
  '\\',
  '{',
  '}',
  '(',
  ')',
  '[',
  ']',
  ',',
  '=',
  '@',
  '#',
  '_',
  '-',
  '+',
  '//',
  '\n',
  ' ',
  '9e9',
  'const ',
  'graph ',
  'f32',
  'strides(',
  'normal(',
  'of 3',
);

test('texts with pieces cut out, put in and put twice', () => {
  const edit = fc.record({ at: fc.nat(), cut: fc.nat({ max: 6 }), put: fc.option(piece) });
  fc.assert(
    fc.property(randomGraph, fc.array(edit, { minLength: 1, maxLength: 4 }), (graph, edits) => {
      let text = printGraph(graph);
      for (const { at, cut, put } of edits) {
        const start = at % (text.length + 1);
        text = text.slice(0, start) + (put ?? text.slice(start, start + 9)) + text.slice(start + cut);
      }
      parses(text);
    }),
    { numRuns: 400 },
  );
});

test('no text at all, and noise', () => {
  for (const text of ['', '//', 'graph', '\u0000', '"', 'graph g () -> () {}', 'graph "\\ud800" () -> () {}'])
    parses(text);
  fc.assert(fc.property(fc.string(), parses));
});
