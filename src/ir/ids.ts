/** Branded dense indices: a value index cannot be read as an op index, at no run-time cost. */
declare const kind: unique symbol;

export type Id<K extends string> = number & { readonly [kind]: K };
/** Index into `Graph.types`. */
export type ValueId = Id<'value'>;
/** Index into `Graph.ops`. */
export type OpId = Id<'op'>;

export const id = <K extends string>(n: number): Id<K> => n as Id<K>;
