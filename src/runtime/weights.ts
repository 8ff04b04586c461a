/** Initializers of model.onnx by name, read when they are asked for. */
import { fileURLToPath } from 'node:url';
import { fail } from '../diag/diagnostic.ts';
import { denseConstant } from '../ir/constant.ts';
import type { OnnxGraph, OnnxTensor } from '../onnx/model.ts';
import { openModel } from '../onnx/reader.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { lazyTensor } from './constants.ts';

/**
 * A function from a name to an initializer of the model at `url`. What is inside a body is called by the first output of its node and
 * the attribute: `out.then_branch.name`. The file is opened at the first call; elements are read when an op asks for them.
 * @throws Diagnosed `runtime/weight` for a name that the model does not have.
 */
export function openWeights(url: URL): (name: string) => Tensor {
  const path = fileURLToPath(url);
  const held = new Map<string, Tensor>();
  let all: ReadonlyMap<string, OnnxTensor> | undefined;
  return (name) => {
    const known = held.get(name);
    if (known !== undefined) return known;
    all ??= new Map(tensorsOf(openModel(path).graph, ''));
    const found = all.get(name);
    if (found === undefined)
      fail({
        code: 'runtime/weight',
        message: `${path} has no initializer ${name}`,
        notes: ['executor.ts and model.onnx belong to different plans: compile again'],
      });
    const value = read(found);
    held.set(name, value);
    return value;
  };
}

function* tensorsOf(graph: OnnxGraph, prefix: string): Generator<[string, OnnxTensor]> {
  for (const tensor of graph.initializers) yield [prefix + tensor.name, tensor];
  for (const { opType, outputs, attributes } of graph.nodes) {
    const name = outputs.find((output) => output !== '') ?? '';
    for (const [attribute, { kind, value }] of attributes) {
      if (kind === 'graph') yield* tensorsOf(value, `${prefix}${name}.${attribute}.`);
      else if (kind === 'tensor' && opType === 'Constant') yield [prefix + name, value];
    }
  }
}

const read = ({ dtype, shape, source, strings }: OnnxTensor): Tensor =>
  strings === undefined ? lazyTensor(denseConstant(dtype, shape, source)) : { ...zeros('string', shape), strings };
