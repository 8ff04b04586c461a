/**
 * Heads that are cut over the columns of their group. A score is a sum over the features of a head,
 *   q . k = sum_c (q_c . k_c)   for any cut of the features into parts c that is the same for q and k,
 * and so is each feature of the weighted values by itself. So a core may hold its part of the features of every head of its
 * group, for its share of positions: what crosses the group is one sum of scores, and queries, keys, values and outputs stay
 * where products leave and want them. (Numerics: reassociates.)
 *
 * The cut is the same for q and k when features that meet stand together (ir/program.ts, Woven): the queries of one KV head,
 * and the two halves of a head that is rotated by halves. Skipped where this module cannot show that: heads that are
 * normalised one by one, rotations of neighbours or of a part of a head, values that something else reads, coded weights.
 */
import { isQuantized } from '../ir/constant.ts';
import type { Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { Lanes } from './cut.ts';
import type { StageContext } from './stage-context.ts';

export interface SplitHeads {
  /** By queries, keys (before and after rotation) and outputs of an attention: how their features are woven. */
  readonly lanes: ReadonlyMap<ValueId, Lanes>;
  /** Activations whose products they are. */
  readonly sources: ReadonlySet<ValueId>;
  /** Attentions whose heads may be cut. */
  readonly attentions: ReadonlySet<Op>;
}

export const NO_HEADS: SplitHeads = { lanes: new Map(), sources: new Set(), attentions: new Set() };

type Context = Pick<StageContext, 'order' | 'graph' | 'stage' | 'readersOf' | 'producerOf'>;

export function splitHeads(context: Context): SplitHeads {
  const lanes = new Map<ValueId, Lanes>();
  const sources = new Set<ValueId>();
  const attentions = new Set<Op>();
  for (const op of context.order) {
    const found = op.kind === 'wafc.attention' ? splitOf(context, op) : undefined;
    if (found === undefined) continue;
    attentions.add(op);
    for (const [v, of] of found.lanes) if (of.lanes > 1) lanes.set(v, of);
    if ([...found.lanes.values()].some((of) => of.lanes > 1)) sources.add(found.source);
  }
  return { lanes, sources, attentions };
}

function splitOf(context: Context, op: Op): { lanes: Map<ValueId, Lanes>; source: ValueId } | undefined {
  const { heads, kvHeads } = op.attrs as Record<string, number>;
  const [q, k, v] = op.inputs.slice(0, 3).map((x) => (x === null ? undefined : productOf(context, x)));
  const out = op.outputs[0];
  if (q === undefined || k === undefined || v === undefined || out === null) return undefined;
  const readers = context.readersOf(out);
  const own = context.stage.outputs.includes(out) || readers.some(({ kind }) => kind !== 'wafc.linear');
  const alike = q.source === k.source && k.source === v.source && q.rotated === k.rotated && !v.rotated;
  if (own || readers.length === 0 || !alike) return undefined;
  const halves = q.rotated ? 2 : 1;
  const share = heads / kvHeads;
  const lanes = new Map<ValueId, Lanes>();
  for (const x of q.values) lanes.set(x, { runs: kvHeads, lanes: halves * share });
  for (const x of k.values) lanes.set(x, { runs: kvHeads, lanes: halves });
  lanes.set(out, { runs: kvHeads, lanes: share });
  const weights = [q.weight, k.weight, ...readers.map((reader) => reader.inputs[1] as ValueId)];
  const woven = halves > 1 || share > 1;
  if (woven && weights.some((w) => isCoded(context, w))) return undefined;
  return { lanes, source: q.source };
}

const isCoded = ({ graph }: Context, weight: ValueId): boolean => {
  const constant = graph.constants.get(weight);
  return constant === undefined || isQuantized(constant);
};

interface Product {
  readonly source: ValueId;
  readonly weight: ValueId;
  /** The product, and what becomes of it before attention reads it. */
  readonly values: readonly ValueId[];
  readonly rotated: boolean;
}

/** The product that `v` is, rotated or not, when nothing else reads it on its way. */
function productOf(context: Context, v: ValueId): Product | undefined {
  const only = (x: ValueId): boolean => context.readersOf(x).length === 1 && !context.stage.outputs.includes(x);
  const last = context.producerOf(v);
  if (last === undefined || !context.order.includes(last) || !only(v)) return undefined;
  if (last.kind === 'wafc.linear') {
    const [source, weight] = last.inputs as ValueId[];
    return { source, weight, values: [v], rotated: false };
  }
  if (last.kind !== 'wafc.rope' || last.attrs.interleaved === 1) return undefined;
  const [x, cos] = last.inputs as ValueId[];
  const width = context.graph.types[v].shape.at(-1) as number;
  const half = context.graph.types[cos].shape.at(-1) as number;
  // All of a head is rotated: its halves are the pairs.
  if (2 * half * (last.attrs.heads as number) !== width) return undefined;
  const before = productOf(context, x);
  if (before === undefined || before.rotated) return undefined;
  return { ...before, values: [...before.values, v], rotated: true };
}
