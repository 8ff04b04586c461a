import fc from 'fast-check';
import { expect, test } from 'vitest';
import { colorNodes } from '../../src/route/coloring.ts';

const graphs = fc
  .record({ nodes: fc.integer({ min: 1, max: 7 }), colors: fc.integer({ min: 1, max: 4 }), seed: fc.nat() })
  .chain(({ nodes, colors }) =>
    fc.record({
      nodes: fc.constant(nodes),
      colors: fc.constant(colors),
      edges: fc.array(fc.constantFrom(0, 0, 1, 2), { minLength: nodes * nodes, maxLength: nodes * nodes }),
    }),
  );

/** Whether some coloring holds all of the given edges, by trying all. */
function isColorable(nodes: number, colors: number, joined: (a: number, b: number) => boolean): boolean {
  const numbers: number[] = [];
  const place = (n: number): boolean => {
    if (n === nodes) return true;
    for (let c = 0; c < colors; c++) {
      if (numbers.some((other, m) => m < n && other === c && joined(m, n))) continue;
      numbers[n] = c;
      if (place(n + 1)) return true;
      numbers.length = n;
    }
    return false;
  };
  return place(0);
}

test('small graphs: hard edges always hold, soft ones where they can, and what has no coloring is refused', () => {
  fc.assert(
    fc.property(graphs, ({ nodes, colors, edges }) => {
      const edge = (a: number, b: number): number => edges[Math.min(a, b) * nodes + Math.max(a, b)];
      const palette = Array.from({ length: colors }, (_, c) => c);
      const result = colorNodes({
        nodes,
        palette: () => palette,
        isHard: (a, b) => edge(a, b) === 2,
        weight: (a, b) => (edge(a, b) === 1 ? 1 : 0),
      });
      const hard = isColorable(nodes, colors, (a, b) => edge(a, b) === 2);
      const all = isColorable(nodes, colors, (a, b) => edge(a, b) > 0);
      expect(result.ok).toBe(hard);
      if (!result.ok) return;
      const broken = (kind: number): number => {
        let n = 0;
        for (let a = 0; a < nodes; a++)
          for (let b = a + 1; b < nodes; b++) if (edge(a, b) === kind && result.numbers[a] === result.numbers[b]) n++;
        return n;
      };
      expect(broken(2)).toBe(0);
      if (all) expect(broken(1)).toBe(0);
    }),
  );
});

test('what cannot be colored is named by nodes that all meet', () => {
  const result = colorNodes({ nodes: 5, palette: () => [4, 9], isHard: (a, b) => a < 3 && b < 3, weight: () => 0 });
  expect(result).toEqual({ ok: false, clique: [0, 1, 2] });
});

test('the lighter of two sharings', () => {
  const weights = [
    [0, 5, 1],
    [5, 0, 5],
    [1, 5, 0],
  ];
  const result = colorNodes({ nodes: 3, palette: () => [0, 1], isHard: () => false, weight: (a, b) => weights[a][b] });
  expect(result).toEqual({ ok: true, numbers: [0, 1, 0] });
});
