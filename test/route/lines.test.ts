/** Routes of collectives: every message of every algorithm, as ARCHITECTURE.md tells it, reaches its receivers and nobody else. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ROUTABLE } from '../../src/cost/collectives.ts';
import { cellsByRoute, drawLines, takesInput, takesOutput } from '../../src/route/class-flows.ts';
import type { LineAxis } from '../../src/ir/routing.ts';

/** Who sends on which flow to whom, by position. */
interface Message {
  readonly flow: number;
  readonly from: number;
  readonly to: readonly number[];
}

/** The table of ARCHITECTURE.md, on one line: `members` take part, `cells` get what is sent to all. */
function messagesOf(algorithm: string, members: readonly number[], cells: readonly number[], group: number): Message[] {
  const p = members.length;
  const out: Message[] = [];
  const say = (flow: number, from: number, to: number): void => {
    out.push({ flow, from: members[from], to: [members[to]] });
  };
  const all = (flow: number, root: number): void => {
    out.push({ flow, from: members[root], to: cells.filter((c) => c !== members[root]) });
  };
  switch (algorithm) {
    case 'chain':
      for (let d = 1; d < p; d++) say(d % 2, d, d - 1);
      all(2, 0);
      return out;
    case 'middle-chain': {
      const root = Math.floor(p / 2);
      for (let i = 0; i < root; i++) say((root - i) % 2, i, i + 1);
      for (let i = root + 1; i < p; i++) say((i - root + 1) % 2, i, i - 1);
      all(2, root);
      return out;
    }
    case 'two-phase': {
      for (let i = 0; i < p; i++) if (i % group !== 0) say((i % group) % 2, i, i - 1);
      for (let k = 1; k * group < p; k++) say(2 + (k % 2), k * group, (k - 1) * group);
      all(4, 0);
      return out;
    }
    case 'middle-two-phase': {
      const roots: number[] = [];
      for (let first = 0; first < p; first += group) {
        const last = Math.min(p, first + group) - 1;
        const root = first + Math.min(Math.floor(group / 2), last - first);
        roots.push(root);
        for (let i = first; i < root; i++) say((root - i) % 2, i, i + 1);
        for (let i = root + 1; i <= last; i++) say((i - root + 1) % 2, i, i - 1);
      }
      const top = Math.floor(roots.length / 2);
      for (let k = 0; k < top; k++) say(2 + ((top - k) % 2), roots[k], roots[k + 1]);
      for (let k = top + 1; k < roots.length; k++) say(2 + ((k - top + 1) % 2), roots[k], roots[k - 1]);
      all(4, roots[top]);
      return out;
    }
    case 'relay':
    case 'scatter-gather':
      for (let i = 0; i + 1 < cells.length; i++) {
        out.push({ flow: i % 2, from: cells[i], to: [cells[i + 1]] });
        out.push({ flow: 2 + ((i + 1) % 2), from: cells[i + 1], to: [cells[i]] });
      }
      return out;
    case 'in-turn':
      for (const m of members) {
        if (m !== cells[cells.length - 1]) out.push({ flow: 0, from: m, to: cells.filter((c) => c > m) });
        if (m !== cells[0]) out.push({ flow: 1, from: m, to: cells.filter((c) => c < m) });
      }
      return out;
    default:
      throw new Error(algorithm);
  }
}

/** Cells that a wavelet from the ramp of `from` reaches: the sender is in its first position, all others in their last. */
function reached(routes: readonly string[], from: number, visited: Set<string>): number[] {
  const got: number[] = [];
  const step = new Map([
    ['E', 1],
    ['S', 1],
    ['W', -1],
    ['N', -1],
  ]);
  const opposite = new Map([
    ['E', 'W'],
    ['W', 'E'],
    ['N', 'S'],
    ['S', 'N'],
  ]);
  const follow = (at: number, port: string): void => {
    const positions = routes[at].split('|');
    const route = positions[port === 'R' ? 0 : positions.length - 1];
    if (route[0] !== port) throw new Error(`cell ${at} has ${route} for what comes from ${port}`);
    visited.add(`${at} ${route}`);
    for (const out of route.slice(2)) {
      if (out === 'R') got.push(at);
      else follow(at + (step.get(out) ?? 0), opposite.get(out) ?? '');
    }
  };
  follow(from, 'R');
  return got.sort((a, b) => a - b);
}

const algorithms = [...ROUTABLE.keys()];
const cases = fc.record({
  algorithm: fc.constantFrom(...algorithms),
  axis: fc.constantFrom<LineAxis>('y', 'x', 'xi', 'xo'),
  groups: fc.integer({ min: 1, max: 4 }),
  inner: fc.integer({ min: 1, max: 9 }),
  height: fc.integer({ min: 2, max: 40 }),
  group: fc.integer({ min: 2, max: 12 }),
});

describe('lines', () => {
  test('messages reach their receivers, and no router is idle', () => {
    fc.assert(
      fc.property(cases, ({ algorithm, axis, groups, inner, height, group }) => {
        const width = groups * inner;
        const cores = { y: height, x: width, xi: inner, xo: groups }[axis];
        fc.pre(cores > 1 && (group < cores || !algorithm.includes('two-phase')));
        const flows = drawLines({ axis, algorithm, group }, { width, height, groups });
        const length = axis === 'y' ? height : axis === 'xi' ? inner : width;
        for (let first = 0; first < (axis === 'y' ? height : width); first += length) {
          const cells = Array.from({ length }, (_, i) => first + i);
          const members = axis === 'xo' ? cells.filter((c) => c % inner === 0) : cells;
          const visited = flows.map(() => new Set<string>());
          for (const { flow, from, to } of messagesOf(algorithm, members, cells, group))
            expect(reached(flows[flow], from, visited[flow])).toEqual(to);
          for (const [f, routes] of flows.entries()) {
            const drawn = cells.flatMap((c) => (routes[c] === '' ? [] : routes[c].split('|').map((r) => `${c} ${r}`)));
            expect([...visited[f]].sort()).toEqual(drawn.sort());
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test.each(algorithms)('colors and queues that the cost model counts: %s', (algorithm) => {
    const flows = drawLines({ axis: 'y', algorithm, group: 7 }, { width: 1, height: 49, groups: 1 });
    const most = (takes: (routes: string) => boolean): number =>
      Math.max(...Array.from({ length: 49 }, (_, c) => flows.filter((f) => takes(f[c])).length));
    expect(ROUTABLE.get(algorithm)).toEqual({
      colors: flows.length,
      input: most(takesInput),
      output: most(takesOutput),
    });
  });

  test('few routes whatever the length: runs come from repetition', () => {
    const [even] = drawLines({ axis: 'xi', algorithm: 'chain', group: 0 }, { width: 700, height: 2, groups: 10 });
    const kinds = cellsByRoute({ along: 'columns', cells: even, turns: false });
    expect([...kinds.keys()]).toEqual(['E>R', 'R>W']);
  });
});
