/** Rewrites that the mapper may use. Each has a name, can be switched off, and is stated with its proof where it is made. */
export const REWRITES = ['defer-rmsnorm', 'fold-gains', 'fuse-reductions'] as const;
export type Rewrite = (typeof REWRITES)[number];

/** What the mapper may not do. */
export interface MapOptions {
  /** Names of {@link REWRITES}. */
  readonly disable: readonly string[];
}
export const ALL_REWRITES: MapOptions = { disable: [] };

export const allows = (options: MapOptions, rewrite: Rewrite): boolean => !options.disable.includes(rewrite);
