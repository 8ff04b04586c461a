/**
 * Operands where an op wants them: sums are paid (what is owed over the same axes in the same message), deferred norms
 * applied, biases added, then the result is gathered or cut. Collectives are put here and nowhere else, but for attention.
 */
import type { Op } from '../ir/graph.ts';
import type { ValueId } from '../ir/ids.ts';
import type { MeshAxis, T } from '../ir/program.ts';
import { byFeatures, type Cut, cutOf, lanesText, recut, sameAxes, sameCut, X } from './cut.ts';
import { finishNorms, normApplied } from './deferred.ts';
import type { Bound, DeferredNorm, Draft, Finish } from './draft.ts';
import { reduceAll } from './reduce.ts';
import { allows } from './rewrites.ts';

/** What an op asks of an operand. */
export interface Want {
  readonly v: ValueId;
  /** Where it must lie; `owed` takes it as it is, unpaid. */
  readonly as: Cut | 'owed';
  /** A product reads a deferred norm's scaled input instead of the norm. */
  readonly unnormed?: true;
}

/** The operands as wanted, in order. */
export function bring(s: Draft, op: Op, wants: readonly Want[]): T[] {
  const all = withCompany(s, wants);
  for (const { v, as, unnormed } of all) {
    if (as === 'owed' || (unnormed === true && s.deferred(v) !== undefined)) continue;
    settle(s, op, v, as);
  }
  const found = all.map(({ v, as, unnormed }): Moving => {
    const norm = unnormed === true ? s.deferred(v) : undefined;
    if (norm !== undefined) return { v, at: norm.scaled, to: as === 'owed' ? s.cut(norm.scaled) : as, keep: false };
    const bound = s.boundOf(op, v);
    if (as === 'owed') return { v, at: bound.base, to: s.cut(bound.base), keep: false };
    const form = bound.forms.find((t) => sameCut(s.cut(t), as)) ?? nearest(s, bound, as);
    if (lanesText(s.cut(form)) !== lanesText(as)) throw new Error('no collective brings features into another order');
    return { v, at: form, to: as, keep: true };
  });
  move(s, found);
  return found.slice(0, wants.length).map(({ at }) => at);
}

interface Moving {
  readonly v: ValueId;
  at: T;
  readonly to: Cut;
  /** A form of the value that others may read, too. */
  readonly keep: boolean;
}

/** Heads of one attention are gathered in one message: who is asked for brings the others that are there. */
function withCompany(s: Draft, wants: readonly Want[]): Want[] {
  const all = [...wants];
  if (!allows(s.context.options, 'fuse-reductions')) return all;
  for (const { v, as } of wants) {
    // Heads that are cut stay where products leave them.
    if (as === 'owed' || sameAxes(as.features, X)) continue;
    for (const other of s.context.together.get(v) ?? []) {
      if (all.some((w) => w.v === other) || s.known(other) === undefined) continue;
      all.push({ v: other, as });
    }
  }
  return all;
}

/** The form with the fewest axes to gather. */
function nearest(s: Draft, { forms }: Bound, to: Cut): T {
  const gathered = (t: T): number => {
    const from = s.cut(t);
    return recut(from.tokens, to.tokens).gathers.length + recut(from.features, to.features).gathers.length;
  };
  return forms.reduce((best, t) => (gathered(t) < gathered(best) ? t : best));
}

/** Gathers, the innermost line first, those over the same axes in one message; then what is kept of replicas. */
function move(s: Draft, list: readonly Moving[]): void {
  const one = allows(s.context.options, 'fuse-reductions');
  for (;;) {
    const next = list.map((m) => ({ m, step: gatherOf(s.cut(m.at), m.to) }));
    const first = next.find(({ step }) => step !== undefined);
    if (first?.step === undefined) break;
    const { axes, dim } = first.step;
    const ready = next.filter(({ step }) => step !== undefined && step.dim === dim && sameAxes(step.axes, axes));
    const ids = new Map<T, T>();
    for (const { m, step } of one ? ready : [first])
      if (step !== undefined && !ids.has(m.at)) ids.set(m.at, s.recut(m.at, step.after, '/gathered'));
    s.collective('all_gather', axes, { combine: null, dim, inputs: [...ids.keys()], outputs: [...ids.values()] });
    for (const m of list) {
      const t = ids.get(m.at);
      if (t !== undefined && (one || m === first.m)) advance(s, m, t);
    }
  }
  for (const m of list) {
    if (sameCut(s.cut(m.at), m.to)) continue;
    const part = s.recut(m.at, m.to, '/part');
    s.emit({ op: 'shard', x: m.at, out: part });
    m.at = part; // cut anew by whoever wants it: it costs next to nothing, and states stay few
  }
}

/** A gathered replica is as good as what it was made of, for whoever comes next. */
function advance(s: Draft, m: Moving, t: T): void {
  m.at = t;
  const bound = m.keep ? s.known(m.v) : undefined;
  if (bound !== undefined) s.bindForm(m.v, bound, t);
}

function gatherOf(from: Cut, to: Cut): { axes: readonly MeshAxis[]; dim: number; after: Cut } | undefined {
  const tokens = recut(from.tokens, to.tokens).gathers[0];
  if (tokens !== undefined) return { axes: tokens.axes, dim: 0, after: { ...from, tokens: tokens.left } };
  const features = recut(from.features, to.features).gathers[0];
  if (features !== undefined) return { axes: features.axes, dim: 1, after: { ...from, features: features.left } };
  return undefined;
}

/** Makes a value that is owed or deferred be there, wherever that is cheapest for a reader that wants it at `to`. */
function settle(s: Draft, op: Op, v: ValueId, to: Cut): void {
  const norm = s.deferred(v);
  if (norm !== undefined && s.known(v) === undefined) {
    s.bind(v, normApplied(s, v, paidStats(s, v, norm)));
    return;
  }
  const bound = s.boundOf(op, v);
  if (bound.forms.length > 0) return;
  const { layout } = s.context.tensors[bound.base];
  if (layout.partial !== null) return pay(s, v, bound, to);
  const members = allows(s.context.options, 'fuse-reductions') ? s.owing([]) : [v];
  finishAll(
    s,
    members.map((m) => {
      const its = s.known(m) ?? bound;
      return { v: m, bound: its, t: its.base };
    }),
  );
}

interface Paid {
  readonly v: ValueId;
  readonly bound: Bound;
  readonly t: T;
}

/** Pays `v`, and with it all that is owed over the same axes. */
function pay(s: Draft, v: ValueId, bound: Bound, to: Cut): void {
  const { tensors, options } = s.context;
  const from = tensors[bound.base].layout;
  const axes = from.partial?.axes ?? [];
  const dim = allows(options, 'scatter-sums') ? scatterDim(cutOf(from), axes, to) : -1;
  const fits = (other: ValueId): boolean => {
    const base = s.known(other)?.base;
    return base !== undefined && (dim < 0 || sameCut(cutOf(tensors[base].layout), cutOf(from)));
  };
  const members = allows(options, 'fuse-reductions') ? s.owing(axes).filter(fits) : [v];
  const owed = members.map((m) => ({ v: m, bound: s.known(m) ?? bound }));
  const norms = normsOf(owed.map(({ bound: b }) => b.finish)).flatMap((n) => {
    const norm = s.deferred(n);
    return norm === undefined || norm.paid !== null ? [] : [{ n, norm }];
  });
  const joining = norms.filter(({ norm }) => dim < 0 && sameAxes(tensors[norm.stats].layout.partial?.axes ?? [], axes));
  const inputs = [...owed.map((o) => o.bound.base), ...joining.map(({ norm }) => norm.stats)];
  const after = reduceAll(s, inputs, axes, dim);
  for (const [i, { n, norm }] of joining.entries()) s.defer(n, { ...norm, paid: after[owed.length + i] });
  for (const { n, norm } of norms) if (!joining.some((j) => j.n === n)) paidStats(s, n, norm);
  finishAll(
    s,
    owed.map((o, i) => ({ ...o, t: after[i] })),
  );
}

/** The dim along which the sum can be left in parts, because its reader wants just those; -1 = it is wanted everywhere. */
function scatterDim(from: Cut, axes: readonly MeshAxis[], to: Cut): number {
  if (sameCut(to, byFeatures([...from.features, ...axes], from.tokens))) return 1;
  if (sameCut(to, byFeatures(from.features, [...from.tokens, ...axes]))) return 0;
  return -1;
}

/** The statistics of a deferred norm, paid by themselves where no product has taken them along. */
function paidStats(s: Draft, v: ValueId, norm: DeferredNorm): DeferredNorm {
  if (norm.paid !== null) return norm;
  const axes = s.context.tensors[norm.stats].layout.partial?.axes ?? [];
  const [paid] = reduceAll(s, [norm.stats], axes, -1);
  const settled = { ...norm, paid };
  s.defer(v, settled);
  return settled;
}

const normsOf = (finishes: readonly (readonly Finish[])[]): ValueId[] => [
  ...new Set(finishes.flatMap((list) => list.flatMap((f) => (f.kind === 'norm' ? [f.norm] : [])))),
];

/** Scales what a deferred norm owes, all products of one norm in one operation; then adds biases. */
function finishAll(s: Draft, paid: readonly Paid[]): void {
  const at = new Map(paid.map(({ v, t }) => [v, t]));
  for (const n of normsOf(paid.map(({ bound }) => bound.finish))) {
    const of = paid.filter(({ bound }) => bound.finish.some((f) => f.kind === 'norm' && f.norm === n));
    const norm = s.deferred(n);
    if (norm === undefined) throw new Error('a product waits for a norm that is forgotten');
    const scaled = finishNorms(
      s,
      paidStats(s, n, norm),
      of.map(({ v, t }) => at.get(v) ?? t),
    );
    for (const [i, { v }] of of.entries()) at.set(v, scaled[i]);
  }
  for (const { v, bound, t } of paid) {
    let done = at.get(v) ?? t;
    for (const f of bound.finish) if (f.kind === 'bias') done = biased(s, done, f);
    s.bindForm(v, bound, done);
  }
}

function biased(s: Draft, x: T, { op, weight }: Extract<Finish, { kind: 'bias' }>): T {
  const { shape, name } = s.context.tensors[x];
  const b = s.weight(op, weight, [1, shape[1]], s.layout({ ...s.cut(x), tokens: [] }));
  const out = s.add(
    `${name.replace(/\/(reduced|scattered|scaled)$/, '')}/bias`,
    s.context.tensors[x].dtype,
    shape,
    s.layout(s.cut(x)),
  );
  s.emit({ op: 'binary', fn: 'add', a: x, b, out });
  return out;
}

/** Cuts in which an operand can be had without gathering: as it is, or with what it owes left in parts. */
export function offersOf(s: Draft, op: Op, v: ValueId): Cut[] {
  const norm = s.deferred(v);
  if (norm !== undefined && s.known(v) === undefined) return [s.cut(norm.x)];
  const { base, forms } = s.boundOf(op, v);
  if (forms.length > 0) return distinct(forms.map((t) => s.cut(t)));
  const { partial } = s.context.tensors[base].layout;
  const cut = s.cut(base);
  if (partial === null || cut.woven !== undefined || !allows(s.context.options, 'scatter-sums')) return [cut];
  return distinct([cut, byFeatures([...cut.features, ...partial.axes], cut.tokens)]);
}

export const distinct = (cuts: readonly Cut[]): Cut[] =>
  cuts.filter((c, i) => cuts.findIndex((other) => sameCut(other, c)) === i);
