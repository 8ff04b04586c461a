/** How an activation [tokens, features] is cut over the axes of a region, and what it takes to cut it another way. */
import type { Layout, MeshAxis, Woven } from '../ir/program.ts';

/** The columns in full, and the rows. */
export const X: readonly MeshAxis[] = ['xo', 'xi'];
export const Y: readonly MeshAxis[] = ['y'];
/** All cores, rows outermost. */
export const YX: readonly MeshAxis[] = ['y', 'xo', 'xi'];

/** Axes that cut each dim, outermost first. An axis in neither holds replicas. */
export interface Cut {
  readonly tokens: readonly MeshAxis[];
  readonly features: readonly MeshAxis[];
  /** The order of the features, where it is not the model's (ir/program.ts, Woven). */
  readonly woven?: Lanes;
}

export type Lanes = Omit<Woven, 'dim'>;

export const byFeatures = (features: readonly MeshAxis[], tokens: readonly MeshAxis[] = []): Cut => ({
  tokens,
  features,
});

/** All of it on every core. */
export const WHOLE: Cut = byFeatures([]);

export const layoutOf = ({ tokens, features, woven }: Cut, partial: Layout['partial'] = null): Layout => ({
  dims: [tokens, features],
  partial,
  ...(woven === undefined ? {} : { woven: { dim: 1, ...woven } }),
});

/** The cut of a [tokens, features] tensor; an index a token has no features. */
export const cutOf = ({ dims, woven }: Layout): Cut => ({
  tokens: dims[0],
  features: dims[1] ?? [],
  ...(woven?.dim === 1 ? { woven: { runs: woven.runs, lanes: woven.lanes } } : {}),
});

export const sameAxes = (a: readonly MeshAxis[], b: readonly MeshAxis[]): boolean => a.join() === b.join();
export const sameCut = (a: Cut, b: Cut): boolean =>
  sameAxes(a.tokens, b.tokens) && sameAxes(a.features, b.features) && lanesText(a) === lanesText(b);

export const lanesText = ({ woven }: Cut): string => (woven === undefined ? '' : `~${woven.runs}x${woven.lanes}`);

/** `K@y`, `t@y f@x`, `rep`: for the names of choices. */
export const axesText = (axes: readonly MeshAxis[]): string => axes.join('').replace('xoxi', 'x') || 'rep';
export const cutText = (cut: Cut): string =>
  `${axesText(cut.features)}${lanesText(cut)}${cut.tokens.length === 0 ? '' : `/t@${axesText(cut.tokens)}`}`;

/** Axes in pieces that are one line of cores each, in the order given: rows apart from columns. */
export function linesOf(axes: readonly MeshAxis[]): MeshAxis[][] {
  const lines: MeshAxis[][] = [];
  for (const axis of axes) {
    const last = lines.at(-1);
    if (axis === 'xi' && last?.at(-1) === 'xo') last.push(axis);
    else lines.push([axis]);
  }
  return lines;
}

/** One dim from one cut to another: gathers from the inside out, then a free cut of the replica. */
export interface Recut {
  /** Axes of each gather, and what cuts the dim after it. */
  readonly gathers: readonly { readonly axes: readonly MeshAxis[]; readonly left: readonly MeshAxis[] }[];
  /** Whether a part is kept of what there is then. */
  readonly cuts: boolean;
}

export function recut(from: readonly MeshAxis[], to: readonly MeshAxis[]): Recut {
  let keep = 0;
  while (keep < from.length && keep < to.length && from[keep] === to[keep]) keep++;
  const gathers: { axes: MeshAxis[]; left: MeshAxis[] }[] = [];
  let left = from.slice(0, from.length);
  for (const axes of linesOf(from.slice(keep)).reverse()) {
    left = left.slice(0, left.length - axes.length);
    gathers.push({ axes, left });
  }
  return { gathers, cuts: keep < to.length };
}

/** The cuts of features among `cuts`, each once. */
export const distinctFeatures = (cuts: readonly Cut[]): (readonly MeshAxis[])[] =>
  cuts.map((c) => c.features).filter((axes, i, all) => all.findIndex((other) => sameAxes(other, axes)) === i);
