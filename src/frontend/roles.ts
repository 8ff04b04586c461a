/**
 * What inputs and outputs mean: token ids, positions, attention mask, past and present keys and values.
 * Decided by dtype, rank and name, and used for two things: symbolic dims of different names that must be
 * equal get one name (B batch, S sequence, P past), and the executors know what to feed.
 */
import type { IoRole } from '../ir/facts.ts';
import { addDims, type Dim, printDim, sym, symbolsOf } from '../ir/dim.ts';
import type { Graph } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import { isFloat, type TensorType } from '../ir/types.ts';

export interface Roles {
  /** By input or output name. */
  readonly byName: ReadonlyMap<string, IoRole>;
  /** Past inputs in cache order, present outputs in the same order. */
  readonly caches: readonly {
    readonly past: string;
    readonly present: string;
  }[];
}

const isInteger = ({ dtype }: TensorType): boolean => dtype === 'i64' || dtype === 'i32';

/** Roles of a graph's interface, and the symbol renames that follow from them. */
export function inferRoles(graph: Graph): {
  roles: Roles;
  renames: Record<string, Dim>;
} {
  const byName = new Map<string, IoRole>();
  const typeOf = (v: ValueId): TensorType => graph.types[v];
  const pasts = graph.inputs.filter((v) => isCache(graph.names[v], typeOf(v)));
  const presents = graph.outputs.filter((v) => isPresent(graph, v));
  const paired = pasts.length > 0 && pasts.length === presents.length;
  const caches = paired
    ? pasts.map((v, i) => ({
        past: graph.names[v],
        present: graph.names[presents[i]],
      }))
    : [];
  for (const [cache, { past, present }] of caches.entries()) {
    byName.set(past, { kind: 'past', cache });
    byName.set(present, { kind: 'present', cache });
  }
  for (const v of graph.inputs) {
    const name = graph.names[v];
    if (!byName.has(name)) byName.set(name, inputRole(name, typeOf(v)));
  }
  for (const v of graph.outputs) if (!byName.has(graph.names[v])) byName.set(graph.names[v], { kind: 'plain' });
  return {
    roles: { byName, caches },
    renames: renameSymbols(graph, byName, paired),
  };
}

const isCache = (name: string, type: TensorType): boolean =>
  type.shape.length === 4 && isFloat(type.dtype) && /past|cache/i.test(name);

/** Presents are told by name: a model may have other rank-4 outputs (attentions). */
const isPresent = (graph: Graph, v: ValueId): boolean => /present|past|cache/i.test(graph.names[v]);

function inputRole(name: string, type: TensorType): IoRole {
  const rank = type.shape.length;
  if (rank === 2 && /mask/i.test(name)) return { kind: 'mask' };
  if (isInteger(type) && rank <= 2 && /pos/i.test(name)) return { kind: 'positions' };
  if (isInteger(type) && rank === 2) return { kind: 'tokens' };
  if (type.dtype === 'bool' && rank <= 1 && /cache/i.test(name)) return { kind: 'bound' };
  return { kind: 'plain' };
}

/** Symbols of the file -> B, S, P. A symbol that two roles claim differently keeps the first claim. */
function renameSymbols(graph: Graph, byName: ReadonlyMap<string, IoRole>, hasPast: boolean): Record<string, Dim> {
  const renames: Record<string, Dim> = {};
  const claim = (dim: Dim | undefined, as: Dim): void => {
    const symbol = symbolAlone(dim);
    if (symbol !== undefined && !Object.hasOwn(renames, symbol)) renames[symbol] = as;
  };
  const [B, S, P] = [sym('B'), sym('S'), sym('P')];
  // Without token ids, [B, S, F] floats are what a sequence is fed as.
  const hasTokens = graph.inputs.some((v) => byName.get(graph.names[v])?.kind === 'tokens');
  const masked = hasPast || graph.inputs.some((v) => isStackedPast(graph, v)) ? addDims(P, S) : S;
  for (const kind of ['tokens', 'positions', 'past', 'mask', 'plain'] as const) {
    for (const v of graph.inputs) {
      if (byName.get(graph.names[v])?.kind !== kind) continue;
      const { shape } = graph.types[v];
      if (kind === 'plain') {
        const features = isFloat(graph.types[v].dtype) && shape.length === 3 && !hasTokens;
        if (features || /batch/i.test(symbolAlone(shape[0]) ?? '')) claim(shape[0], B);
        if (features) claim(shape[1], S);
        if (isStackedPast(graph, v)) {
          claim(shape[1], B);
          claim(shape[3], P);
        }
      } else if (kind === 'past') {
        claim(shape[0], B);
        claim(shape[2], P);
      } else if (shape.length === 2) {
        claim(shape[0], B);
        if (!isSecondSequence(graph, v)) claim(shape[1], kind === 'mask' ? masked : S);
      }
    }
  }
  return renames;
}

/** The name of a dim that is one symbol. */
function symbolAlone(dim: Dim | undefined): string | undefined {
  if (dim === undefined || typeof dim === 'number') return undefined;
  const [name, ...more] = symbolsOf(dim);
  return more.length === 0 && printDim(dim) === name ? name : undefined;
}

/** Keys and values of a layer stacked in one past of rank 5, as early GPT-2 exports have them. */
export const isStackedPast = (graph: Graph, v: ValueId): boolean =>
  graph.types[v].shape.length === 5 && /past/i.test(graph.names[v]);

/** The decoder's side of a model that has an encoder's side, too: its length is its own. */
function isSecondSequence(graph: Graph, v: ValueId): boolean {
  const name = graph.names[v];
  return name.startsWith('decoder_') && graph.inputs.some((u) => graph.names[u] === name.slice('decoder_'.length));
}
