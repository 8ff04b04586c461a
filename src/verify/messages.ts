/**
 * What each algorithm of a collective sends along a line of cores, from the table in ARCHITECTURE.md, "Routing".
 * For the checker of routes: shares no code with what plans them.
 */
import type { CollectiveOp } from '../ir/program.ts';
import type { Phase } from '../ir/routing.ts';

/** One core's message on one flow. Cores are counted along the whole line, also those that only let pass. */
export interface Message {
  /** Position among the phase's flows. */
  readonly flow: number;
  readonly sender: number;
  /** Cores `from .. to` receive it, the sender excepted. */
  readonly from: number;
  readonly to: number;
  /** Messages of a later step wait until the core has all of the earlier ones. */
  readonly step: number;
  /** Flows of the same step whose messages a core passes on as they arrive, adding its own. */
  readonly streams: readonly number[];
  /** In turns: routers between let it pass after they have sent their own. */
  readonly turn: boolean;
  readonly wavelets: number;
}

/** Cores of a line, and those among them that take part: every `stride`-th. */
export interface LineCores {
  readonly cores: number;
  readonly stride: number;
}

/** Which algorithms can do an op: what the messages of each leave is its result. */
export const ALGORITHMS: Readonly<Record<CollectiveOp['op'], readonly string[]>> = {
  all_reduce: ['chain', 'two-phase', 'middle-chain', 'middle-two-phase', 'scatter-gather'],
  reduce_scatter: ['chain', 'two-phase', 'middle-chain', 'middle-two-phase', 'scatter-gather', 'relay'],
  all_gather: ['relay', 'in-turn'],
};

/** Flows of an algorithm in the order of the table; undefined for one that is not there. */
export function flowCount(algorithm: string): number | undefined {
  const counts: Readonly<Record<string, number>> = {
    chain: 3,
    'two-phase': 5,
    'middle-chain': 3,
    'middle-two-phase': 5,
    relay: 4,
    'scatter-gather': 4,
    'in-turn': 2,
  };
  return Object.hasOwn(counts, algorithm) ? counts[algorithm] : undefined;
}

/**
 * Messages of a phase along a line.
 *
 * @param phase a known algorithm, with groups of at least one core where it has groups
 * @param op what the phase is for: `relay` gathers, or scatters
 */
export function messagesOf(
  { algorithm, group, wavelets }: Pick<Phase, 'algorithm' | 'group' | 'wavelets'>,
  op: CollectiveOp['op'],
  line: LineCores,
): Message[] {
  const { cores, stride } = line;
  const parties = partiesOf(line);
  const block = Math.ceil(wavelets / parties);
  const middle = algorithm.startsWith('middle-');
  const one = (flow: number, sender: number, receiver: number, step: number, streams: readonly number[]): Message => ({
    flow,
    sender: sender * stride,
    from: receiver * stride,
    to: receiver * stride,
    step,
    streams,
    turn: false,
    wavelets,
  });
  const toAll = (flow: number, sender: number, step: number): Message => ({
    ...one(flow, sender, 0, step, []),
    from: 0,
    to: cores - 1,
  });
  /** Each of `members` sends one nearer to number `root` of them; flow + d mod 2, behind a middle root the other one. */
  const inward = (members: readonly number[], root: number, flow: number, step: number): Message[] =>
    members.flatMap((member, k) => {
      if (k === root) return [];
      const [distance, nearer] = k < root ? [root - k, k + 1] : [k - root + (middle ? 1 : 0), k - 1];
      return [one(flow + (distance % 2), member, members[nearer], step, [flow, flow + 1])];
    });
  const all = Array.from({ length: parties }, (_, k) => k);
  switch (algorithm) {
    case 'chain':
    case 'middle-chain': {
      const root = middle ? Math.floor(parties / 2) : 0;
      return [...inward(all, root, 0, 0), toAll(2, root, 1)];
    }
    case 'two-phase':
    case 'middle-two-phase': {
      const found: Message[] = [];
      const roots: number[] = [];
      for (let first = 0; first < parties; first += group) {
        const members = all.slice(first, first + group);
        const root = middle ? Math.min(Math.floor(group / 2), members.length - 1) : 0;
        found.push(...inward(members, root, 0, 0));
        roots.push(members[root]);
      }
      const last = middle ? Math.floor(roots.length / 2) : 0;
      return [...found, ...inward(roots, last, 2, 1), toAll(4, roots[last], 2)];
    }
    case 'relay':
      return op === 'all_gather' ? relay(line, 0, true, wavelets) : relay(line, 0, false, block);
    case 'scatter-gather':
      return [...relay(line, 0, false, block), ...relay(line, 1, true, block)];
    case 'in-turn':
      return inTurn(line, wavelets);
    default:
      return [];
  }
}

/** Cores of the line that have a part. */
export const partiesOf = ({ cores, stride }: LineCores): number => Math.ceil(cores / stride);

/**
 * Neighbour to neighbour, all cores of the line. A gather carries the parts from behind, a reduce-scatter the blocks
 * of those ahead; `part` = wavelets of one.
 */
function relay(line: LineCores, step: number, gather: boolean, part: number): Message[] {
  const { cores, stride } = line;
  const parties = partiesOf(line);
  const found: Message[] = [];
  const send = (flow: number, sender: number, receiver: number, streams: readonly number[], parts: number): void => {
    found.push({ flow, sender, from: receiver, to: receiver, step, streams, turn: false, wavelets: parts * part });
  };
  for (let i = 0; i + 1 < cores; i++) {
    const upToHere = Math.floor(i / stride) + 1;
    send(i % 2, i, i + 1, [0, 1], gather ? upToHere : parties - upToHere);
  }
  for (let i = 1; i < cores; i++) {
    const before = Math.ceil(i / stride);
    send(2 + (i % 2), i, i - 1, [2, 3], gather ? parties - before : before);
  }
  return found;
}

/** Each part to all behind its core, then to all before it; routers let others pass when their core has sent. */
function inTurn(line: LineCores, wavelets: number): Message[] {
  const { cores, stride } = line;
  const found: Message[] = [];
  for (let sender = 0; sender < cores; sender += stride) {
    const base = { sender, step: 0, streams: [], turn: true, wavelets };
    if (sender + 1 < cores) found.push({ ...base, flow: 0, from: sender + 1, to: cores - 1 });
    if (sender > 0) found.push({ ...base, flow: 1, from: 0, to: sender - 1 });
  }
  return found;
}
