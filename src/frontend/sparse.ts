/** Sparse tensors as dense ones: the dense bytes are made when they are first read, up to a limit. */
import { fail } from '../diag/diagnostic.ts';
import { bytesSource, denseConstant, elementCount } from '../ir/constant.ts';
import type { ByteSource } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS } from '../ir/types.ts';
import type { OnnxSparseTensor, OnnxTensor } from '../onnx/model.ts';
import { readConstant } from '../tensor/read.ts';

/** Dense bytes are held in memory: more than this asks for a dense or external tensor in the model. */
const MOST_BYTES = 2 ** 28;

/**
 * The same elements as a dense tensor, zeros in between.
 * @throws Diagnosed `onnx/sparse` for indices that do not fit the values, and for tensors that are too large when dense.
 */
export function denseTensor({ values, indices, shape }: OnnxSparseTensor): OnnxTensor {
  const { name, dtype } = values;
  const bytes = bytesFor(dtype, elementCount(shape));
  const [count = 1] = values.shape;
  const wrong = (message: string): never => fail({ code: 'onnx/sparse', message: `sparse tensor ${name} ${message}` });
  if (DTYPE_BITS[dtype] === 0 || DTYPE_BITS[dtype] % 8 !== 0)
    wrong(`is of ${dtype}; elements of whole bytes are expected`);
  if (bytes > MOST_BYTES) wrong(`has ${bytes} bytes when dense; at most ${MOST_BYTES} are expected`);
  const flat = indices.shape.length === 1;
  const fits = indices.dtype === 'i64' && values.shape.length === 1 && indices.shape[0] === count;
  if (!fits || !(flat || (indices.shape.length === 2 && indices.shape[1] === shape.length)))
    wrong(
      `has values [${values.shape}] at indices ${indices.dtype}[${indices.shape}]; i64[${count}] or i64[${count},${shape.length}] is expected`,
    );
  return { name, dtype, shape, source: scattered({ values, indices, shape }, bytes) };
}

/** Values at their places; indices are read, and checked, with the values. */
function scattered({ values, indices, shape }: OnnxSparseTensor, byteLength: number): ByteSource {
  let dense: ByteSource | undefined;
  const make = (): ByteSource => {
    const size = DTYPE_BITS[values.dtype] / 8;
    const bytes = new Uint8Array(byteLength);
    const from = new Uint8Array(values.source.byteLength);
    values.source.read(0, from);
    const { data } = readConstant(denseConstant(indices.dtype, indices.shape, indices.source));
    const rank = indices.shape.length === 1 ? 1 : shape.length;
    const extents = rank === 1 ? [elementCount(shape)] : shape;
    for (let i = 0; i < values.shape[0]; i++) {
      let at = 0;
      for (const [d, extent] of extents.entries()) {
        const index = data[i * rank + d];
        if (!(index >= 0 && index < extent))
          fail({
            code: 'onnx/sparse',
            message: `sparse tensor ${values.name} has an element at ${index} of an extent of ${extent}`,
            where: `element ${i}, axis ${d}`,
          });
        at = at * extent + index;
      }
      bytes.set(from.subarray(i * size, (i + 1) * size), at * size);
    }
    return bytesSource(values.name, bytes);
  };
  return { label: values.name, byteLength, read: (offset, into) => (dense ??= make()).read(offset, into) };
}
