/**
 * Graph colouring for routers and queues. Nodes that must differ are joined by hard edges; nodes that had better
 * differ carry a weight: what it costs when both get one number. First all edges are held (DSATUR, Brélaz 1979, with
 * backtracking: exact for graphs of the size of a region's); where that fails only hard ones are, and the weights of broken ones are small.
 */

export interface Conflicts {
  readonly nodes: number;
  /** Numbers that a node may have, preferred first. */
  palette(node: number): readonly number[];
  /** Whether two nodes must differ. */
  isHard(a: number, b: number): boolean;
  /** What it costs when two nodes that need not differ are equal; 0 = nothing. */
  weight(a: number, b: number): number;
}

export type Coloring =
  | { readonly ok: true; readonly numbers: readonly number[] }
  /** Nodes that all must differ and are more than the numbers they may have, as far as a greedy search finds them. */
  | { readonly ok: false; readonly clique: readonly number[] };

/** Steps of backtracking before it is given up. */
const MOST_STEPS = 20_000;

/** A number for every node. The result depends on the order of nodes and palettes only. */
export function colorNodes(conflicts: Conflicts): Coloring {
  const nodes = Array.from({ length: conflicts.nodes }, (_, i) => i);
  const palettes = nodes.map((n) => conflicts.palette(n));
  const hard = nodes.map((a) => nodes.map((b) => a !== b && conflicts.isHard(a, b)));
  const weights = nodes.map((a) => nodes.map((b) => (a === b || hard[a][b] ? 0 : conflicts.weight(a, b))));
  const proper = exact(
    palettes,
    nodes.map((a) => nodes.filter((b) => hard[a][b] || weights[a][b] > 0)),
  );
  if (proper !== undefined) return { ok: true, numbers: proper };
  const neighbours = nodes.map((a) => nodes.filter((b) => hard[a][b]));
  const held = exact(palettes, neighbours, weights);
  if (held === undefined) return { ok: false, clique: cliqueOf(neighbours) };
  return { ok: true, numbers: improved(held, palettes, neighbours, weights) };
}

/** Saturation order with backtracking; numbers of least weight first. Undefined: none, or none within the steps. */
function exact(
  palettes: readonly (readonly number[])[],
  neighbours: readonly (readonly number[])[],
  weights?: readonly (readonly number[])[],
): number[] | undefined {
  const numbers = palettes.map(() => -1);
  const left = (n: number): number[] => palettes[n].filter((c) => neighbours[n].every((m) => numbers[m] !== c));
  let steps = 0;
  const place = (placed: number): boolean => {
    if (placed === palettes.length) return true;
    let [best, fewest]: [number, number[]] = [-1, []];
    for (const n of numbers.keys()) {
      if (numbers[n] !== -1) continue;
      const free = left(n);
      const isBetter =
        best === -1 ||
        free.length < fewest.length ||
        (free.length === fewest.length && neighbours[n].length > neighbours[best].length);
      if (isBetter) [best, fewest] = [n, free];
    }
    if (weights !== undefined) fewest = byWeight(fewest, best, numbers, weights[best]);
    for (const c of fewest) {
      if (++steps > MOST_STEPS) return false;
      numbers[best] = c;
      if (place(placed + 1)) return true;
      numbers[best] = -1;
    }
    return false;
  };
  return place(0) ? numbers : undefined;
}

/** Weight of the nodes that have number `c` already. */
const sharing = (c: number, node: number, numbers: readonly number[], weights: readonly number[]): number =>
  numbers.reduce((n, other, m) => (other === c && m !== node ? n + weights[m] : n), 0);

/** Lightest first; as they stand where they are equal. */
const byWeight = (free: readonly number[], node: number, numbers: readonly number[], weights: readonly number[]) =>
  free
    .map((c) => ({ c, cost: sharing(c, node, numbers, weights) }))
    .sort((a, b) => a.cost - b.cost)
    .map(({ c }) => c);

/** One node after another moves to a lighter number, until none does. */
function improved(
  start: readonly number[],
  palettes: readonly (readonly number[])[],
  neighbours: readonly (readonly number[])[],
  weights: readonly (readonly number[])[],
): number[] {
  const numbers = [...start];
  for (let moved = true; moved; ) {
    moved = false;
    for (const n of numbers.keys()) {
      const free = palettes[n].filter((c) => neighbours[n].every((m) => numbers[m] !== c));
      const [lightest] = byWeight(free, n, numbers, weights[n]);
      if (sharing(lightest, n, numbers, weights[n]) < sharing(numbers[n], n, numbers, weights[n])) {
        numbers[n] = lightest;
        moved = true;
      }
    }
  }
  return numbers;
}

/** A large set of nodes that are all joined: greedily from each node, the most joined first. */
function cliqueOf(neighbours: readonly (readonly number[])[]): number[] {
  const order = [...neighbours.keys()].sort((a, b) => neighbours[b].length - neighbours[a].length || a - b);
  let best: number[] = [];
  for (const first of order) {
    const clique = [first];
    for (const n of order) if (clique.every((m) => neighbours[m].includes(n))) clique.push(n);
    if (clique.length > best.length) best = clique;
  }
  return best.sort((a, b) => a - b);
}
