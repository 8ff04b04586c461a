/** Rewrites that the mapper may use. Each has a name, can be switched off, and is stated with its proof where it is made. */
export const REWRITES = [
  /** 1/rms commutes with a product: the sum of squares travels in the product's own reduction (deferred.ts). */
  'defer-rmsnorm',
  /** Products of one activation are one product of their weights side by side: Q, K and V; gate and up (draft.ts). */
  'fuse-products',
  /** What is owed over the same axes travels in one message: Q, K and V; gate and up (bring.ts). */
  'fuse-reductions',
  /** Sums commute with additions and scalings: two branches are added before they are paid (rules/elementwise.ts). */
  'add-owed',
  /** A sum whose reader wants only parts is scattered, not spread (bring.ts). */
  'scatter-sums',
  /** Heads are cut over the columns of their group: sums of scores cross it, not queries, keys and outputs (split-heads.ts). */
  'split-heads',
  /** Shares of a softmax are merged inside a group of columns first, so that less crosses the rows (rules/attention.ts). */
  'merge-inside-first',
] as const;
export type Rewrite = (typeof REWRITES)[number];

/** What the mapper may not do. */
export interface MapOptions {
  /** Names of {@link REWRITES}. */
  readonly disable: readonly string[];
}
export const ALL_REWRITES: MapOptions = { disable: [] };

export const allows = (options: MapOptions, rewrite: Rewrite): boolean => !options.disable.includes(rewrite);
