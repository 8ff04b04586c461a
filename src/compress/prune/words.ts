/**
 * What `--prune` says (compression.md section 6.2): `wanda:0.5`, `sparsegpt:0.5:tile,owl`, `magnitude:0.3`, `2:4`, `wanda:2:4`, `ffn:0.25`,
 * `ffn:0.25,obs`, `heads:0.25`, `depth:1`, `reap:0.25`, `auto`.
 */
import { isPruner, type Pruner, PRUNERS } from './method.ts';

/** Single weights become zero; shapes stay. */
export interface WeightPruning {
  readonly kind: 'weights';
  /** Undefined: sparsegpt where there is a text to look at, else magnitude. */
  readonly method: Pruner | undefined;
  readonly structure: 'layer' | 'row' | 'tile' | 'n:m';
  readonly sparsity: number;
  /** Of `n:m`: `keep` of every `of` stay. */
  readonly keep: number;
  readonly of: number;
  readonly owl: boolean;
}
/** Parts go; shapes change. */
export interface PartPruning {
  readonly kind: 'ffn' | 'heads' | 'reap';
  /** Of the channels, of the groups of heads, of the experts. */
  readonly share: number;
  /** ffn: one channel after another, the others repaired each time (optimal brain surgeon). */
  readonly greedy: boolean;
}
export interface DepthPruning {
  readonly kind: 'depth';
  /** Layers that go. */
  readonly count: number;
}
export type Prune = WeightPruning | PartPruning | DepthPruning | { readonly kind: 'auto' };

/** What is wrong with a word. */
export interface Refused {
  readonly problem: string;
}

export const PRUNE_WORDS =
  'wanda:0.5, sparsegpt:0.5, magnitude:0.3 (+ :row, :tile, :layer; + ,owl), 2:4, wanda:2:4, ffn:0.25[,obs], depth:1';

/** Runs of more weights than this say nothing that a share would not. */
const LONGEST_RUN = 256;

const STRUCTURES = ['row', 'tile', 'layer'] as const;
const isStructure = (word: string): word is (typeof STRUCTURES)[number] => STRUCTURES.some((s) => s === word);

/** Reads one word. */
export function parsePrune(word: string): Prune | Refused {
  const [body, ...flags] = word.split(',');
  const [name, ...parts] = body.split(':');
  if (name === 'auto')
    return word === 'auto' ? { kind: 'auto' } : { problem: `'auto' takes nothing more, in '${word}'` };
  if (name === 'ffn' || name === 'heads' || name === 'reap') return parsePart(name, parts, flags);
  if (name === 'depth') {
    const count = /^\d{1,4}$/.test(parts[0] ?? '') ? Number(parts[0]) : Number.NaN;
    if (parts.length !== 1 || flags.length > 0 || !(count >= 1))
      return { problem: `'${word}' must be depth: and a number of layers, as in depth:1` };
    return { kind: 'depth', count };
  }
  if (isPruner(name)) return parseWeights(name, parts, flags, word);
  // `2:4` by itself: the best method there is.
  if (/^\d+$/.test(name)) return parseWeights(undefined, [name, ...parts], flags, word);
  return { problem: `'${word}' is no way of pruning: ${PRUNERS.join(', ')}, N:M, ffn, heads, depth, reap, auto` };
}

export const isRefused = (prune: Prune | Refused): prune is Refused => 'problem' in prune;

function parseWeights(
  method: Pruner | undefined,
  parts: readonly string[],
  flags: readonly string[],
  word: string,
): WeightPruning | Refused {
  const other = flags.find((flag) => flag !== 'owl');
  if (other !== undefined || flags.length > 1)
    return { problem: `'${other ?? 'owl'}' cannot follow a comma in '${word}'` };
  const owl = flags.length === 1;
  const [first = '', second, ...rest] = parts;
  if (second !== undefined && /^\d+$/.test(first) && /^\d+$/.test(second)) {
    const [keep, of] = [Number(first), Number(second)];
    if (!(of >= 2 && of <= LONGEST_RUN && keep >= 1 && keep < of))
      return { problem: `'${first}:${second}' must keep N of M weights, 1 <= N < M <= ${LONGEST_RUN}` };
    if (rest.length > 0)
      return { problem: `'${rest[0]}' cannot follow ${first}:${second}, which is a structure itself` };
    if (owl) return { problem: `owl gives layers different shares; ${first}:${second} is the same everywhere` };
    return { kind: 'weights', method, structure: 'n:m', sparsity: 1 - keep / of, keep, of, owl };
  }
  const sparsity = shareOf(first);
  if (sparsity === undefined || method === undefined)
    return { problem: `'${word}' must name a share from 0 to 1, as in ${method ?? 'wanda'}:0.5, or N:M, as in 2:4` };
  // Rows that lose equally many balance the cores along them; SparseGPT's own rule is the lowest of a block of columns.
  let structure: WeightPruning['structure'] = method === 'sparsegpt' ? 'layer' : 'row';
  if (second !== undefined) {
    if (!isStructure(second) || rest.length > 0)
      return { problem: `'${rest[0] ?? second}' is none of ${STRUCTURES.join(', ')}, in '${word}'` };
    structure = second;
  }
  return { kind: 'weights', method, structure, sparsity, keep: 0, of: 0, owl };
}

function parsePart(
  kind: PartPruning['kind'],
  parts: readonly string[],
  flags: readonly string[],
): PartPruning | Refused {
  const share = parts.length === 1 ? shareOf(parts[0]) : undefined;
  if (share === undefined || share === 1)
    return { problem: `${kind} must name a share from 0 up to, not including, 1, as in ${kind}:0.25` };
  const greedy = kind === 'ffn' && flags.join() === 'obs';
  if (flags.length > 0 && !greedy)
    return { problem: `'${flags[0]}' cannot follow ${kind}${kind === 'ffn' ? ': only obs' : ''}` };
  return { kind, share, greedy };
}

function shareOf(text: string): number | undefined {
  const value = /^(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  return value >= 0 && value <= 1 ? value : undefined;
}
