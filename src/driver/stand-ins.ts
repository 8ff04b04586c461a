/**
 * Contents for weights that are not there, so that the structure of a model can be seen without them: floats around 1,
 * integers counted from 0 (tables of positions are). Whatever is read off such values must not be shown as theirs.
 */
import type { ByteSource } from '../ir/constant.ts';
import { elementCount } from '../ir/constant.ts';
import { bytesFor, DTYPE_BITS, isFloat } from '../ir/types.ts';
import type { OnnxGraph, OnnxModel, OnnxTensor } from '../onnx/model.ts';
import { pack } from '../tensor/pack.ts';
import { fromNumbers } from '../tensor/tensor.ts';

/** The model with stand-ins for the initializers of missing files, which are added to `missing`. */
export function withStandIns(model: OnnxModel, missing: Set<ByteSource>): OnnxModel {
  if (model.missingFiles.length === 0) return model;
  const lost = new Set(model.missingFiles);
  const replace = (tensor: OnnxTensor): OnnxTensor => {
    if (tensor.location === undefined || !lost.has(tensor.location)) return tensor;
    const source = standIn(tensor);
    missing.add(source);
    return { ...tensor, source };
  };
  const graph: OnnxGraph = { ...model.graph, initializers: model.graph.initializers.map(replace) };
  return { ...model, graph };
}

function standIn({ name, dtype, shape }: OnnxTensor): ByteSource {
  const count = elementCount(shape);
  const bits = DTYPE_BITS[dtype];
  return {
    label: name,
    byteLength: bytesFor(dtype, count),
    read(offset, into) {
      if (bits % 8 !== 0) return void into.fill(0);
      const bytes = bits / 8;
      const first = Math.floor(offset / bytes);
      const length = Math.ceil((offset + into.length) / bytes) - first;
      const values = Array.from({ length }, (_, i) => (isFloat(dtype) ? 0.5 + ((0.618 * (first + i)) % 1) : first + i));
      into.set(
        pack(dtype, fromNumbers(dtype, [length], values).data)
          .subarray(offset - first * bytes)
          .subarray(0, into.length),
      );
    },
  };
}
