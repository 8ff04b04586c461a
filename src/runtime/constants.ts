/** Tensors that lie in a file: their elements are read when they are asked for, and kept while there is room. */
import { constantCache } from '../exec/reference.ts';
import { bytesSource, type Constant, denseConstant } from '../ir/constant.ts';
import { pack } from '../tensor/pack.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Known to all instances of this module: a program may load one by import and one by require. */
const CONSTANT = Symbol.for('wafc.constant');
type Lazy = Tensor & { readonly [CONSTANT]?: Constant };

const held = constantCache();

/** A tensor that is read when its elements are asked for. */
export function lazyTensor(constant: Constant): Tensor {
  const { dtype, shape } = constant;
  const made: Lazy = {
    dtype,
    shape,
    get data() {
      return held.read(constant).data;
    },
    [CONSTANT]: constant,
  };
  return made;
}

/** The same with its elements in memory, for kernels. */
export function loaded(tensor: Lazy): Tensor {
  const constant = tensor[CONSTANT];
  return constant === undefined ? tensor : held.read(constant);
}

/** A tensor as a constant: where it lies, or a copy of its elements. */
export const constantOf = (tensor: Lazy): Constant =>
  tensor[CONSTANT] ??
  denseConstant(tensor.dtype, tensor.shape, bytesSource('literal', pack(tensor.dtype, tensor.data)));
