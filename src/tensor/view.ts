/** Tensors as ndarray views, for callers that index, slice or transpose results without copying them. */
import ndarray from 'ndarray';
import type { Tensor, TensorData } from './tensor.ts';

/** A view of the tensor's own data: `viewOf(logits).pick(0, -1)` is a row, `.transpose(1, 0)` moves nothing. */
export const viewOf = (tensor: Tensor): ndarray.NdArray<TensorData> => ndarray(tensor.data, [...tensor.shape]);
