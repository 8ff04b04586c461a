/** Names for the layouts that activations have between ops. */
import type { Layout, MeshAxis } from '../ir/program.ts';

/** The two axes of the region, columns in full. */
export const X: readonly MeshAxis[] = ['xo', 'xi'];
export const Y: readonly MeshAxis[] = ['y'];

/** Layout of [tokens, features] with the features cut by `axes`. */
export const features = (axes: readonly MeshAxis[]): Layout => ({ dims: [[], axes], partial: null });
