/** Einsum of two operands as MatMul: labels of both that are kept are its batch, labels of both that are summed its inner dim. */
import { type Dim, isKnown, mulDims } from '../../ir/dim.ts';
import type { ValueId } from '../../ir/ids.ts';
import type { Op } from '../../ir/graph.ts';
import { parseEquation } from '../../ops/support/einsum.ts';
import type { Expansion } from './expansion.ts';

interface Product {
  readonly inputs: readonly [readonly string[], readonly string[]];
  readonly output: readonly string[];
  readonly batch: readonly string[];
  readonly left: readonly string[];
  readonly right: readonly string[];
  readonly inner: readonly string[];
}

/** The equation of an Einsum that is one product; undefined for traces, sums over one operand, outer products, more operands. */
export function productOf(op: Op, ranks: readonly number[]): Product | undefined {
  const { equation } = op.attrs;
  if (typeof equation !== 'string' || ranks.length !== 2) return undefined;
  const parsed = parseEquation(equation, ranks);
  if (typeof parsed === 'string') return undefined;
  const [a, b] = parsed.inputs;
  const { output } = parsed;
  const isUnique = [a, b, output].every((labels) => new Set(labels).size === labels.length);
  const kept = new Set(output);
  const batch = a.filter((l) => b.includes(l) && kept.has(l));
  const inner = a.filter((l) => b.includes(l) && !kept.has(l));
  const left = a.filter((l) => !b.includes(l));
  const right = b.filter((l) => !a.includes(l));
  const isSummed = [...left, ...right].some((l) => !kept.has(l));
  if (!isUnique || isSummed || inner.length === 0) return undefined;
  // Labels that are flattened together must not meet a batch, whose extents a Reshape would have to know.
  const isFlat = inner.length <= 1 && right.length <= 1;
  return batch.length === 0 || isFlat ? { inputs: [a, b], output, batch, left, right, inner } : undefined;
}

export function einsum(x: Expansion): void {
  const operands = [x.input(0), x.input(1)];
  const product = productOf(
    x.source,
    operands.map((v) => x.rank(v)),
  );
  if (product === undefined) return x.refuse('its equation');
  const { inputs, output, batch, left, right, inner } = product;
  const extents = new Map<string, Dim>();
  for (const [i, labels] of inputs.entries())
    for (const [d, label] of labels.entries()) extents.set(label, x.typeOf(operands[i]).shape[d]);
  const a = flattened(x, ordered(x, operands[0], inputs[0], [...batch, ...left, ...inner]), extents, [
    ...[...batch, ...left].map((l) => [l]),
    inner,
  ]);
  const spread = batch.length > 0 ? left.slice(0, -1) : [];
  const turned = ordered(x, operands[1], inputs[1], [...batch, ...inner, ...right]);
  const b =
    batch.length > 0
      ? columns(x, turned, batch.length, spread.length, right.length)
      : flattened(x, turned, extents, [inner, right]);
  const rows = left.length === 0 && batch.length > 0 ? x.unsqueeze(a, batch.length) : a;
  let result = x.op('MatMul', [rows, b]);
  if (batch.length > 0) {
    if (right.length === 0) result = x.op('Squeeze', [result, x.ints(-1)]);
    if (left.length === 0) result = x.op('Squeeze', [result, x.ints(batch.length)]);
  } else
    result = flattened(
      x,
      result,
      extents,
      [...left, ...right].map((l) => [l]),
      right.length === 1,
    );
  x.gives(0, ordered(x, result, [...batch, ...left, ...right], output));
}

/** Batch dims, ones for further rows of the other operand, inner dim, columns. */
function columns(x: Expansion, v: ValueId, batch: number, spread: number, right: number): ValueId {
  const axes = Array.from({ length: spread }, (_, i) => batch + i);
  const wide = axes.length > 0 ? x.unsqueeze(v, ...axes) : v;
  return right === 0 ? x.unsqueeze(wide, -1) : wide;
}

function ordered(x: Expansion, v: ValueId, from: readonly string[], to: readonly string[]): ValueId {
  const perm = to.map((label) => from.indexOf(label));
  return perm.every((p, i) => p === i) ? v : x.op('Transpose', [v], { perm });
}

/** Labels of each group as one dim. Leading dims that stay are copied, so that lengths may be open. */
function flattened(
  x: Expansion,
  v: ValueId,
  extents: ReadonlyMap<string, Dim>,
  groups: readonly (readonly string[])[],
  isThat = groups.every((group) => group.length === 1),
): ValueId {
  if (isThat) return v;
  let copied = true;
  let open = 0;
  const shape = groups.map((group) => {
    const extent = group.reduce<Dim>((n, label) => mulDims(n, extents.get(label) ?? 1), 1);
    copied &&= group.length === 1;
    if (isKnown(extent)) return extent;
    if (copied) return 0;
    return open++ === 0 ? -1 : x.refuse('lengths that are not known');
  });
  return x.op('Reshape', [v, x.ints(...shape)]);
}
