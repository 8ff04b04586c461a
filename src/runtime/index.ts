/**
 * `wafc/runtime`: what emitted executors import. Small and stable: an executor.ts of an older version of wafc keeps running with a newer
 * one of the same major version.
 */
export { fromNumbers as tensor, type Tensor } from '../tensor/tensor.ts';
export { isMain, main } from './main.ts';
export type { Model, ModelIo, Tensors } from './model.ts';
export { body, type Attribute, type Body, op } from './op.ts';
export { prepare } from './prepare.ts';
export { host, openBlobs, openPlaced, type Placed, region, type RegionBuilder } from './placed.ts';
export { openWeights } from './weights.ts';
