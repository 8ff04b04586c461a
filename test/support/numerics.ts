/** Runs two graphs on the same random inputs and compares what they compute. */
import { expect } from 'vitest';
import { runGraph } from '../../src/exec/reference.ts';
import { bindDim, isKnown, symbolsOf } from '../../src/ir/dim.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { isOpaque } from '../../src/ir/sources.ts';
import { isFloat } from '../../src/ir/types.ts';
import { fromNumbers, sizeOf, type Tensor } from '../../src/tensor/tensor.ts';
import { type Random, randomBelow, randomStream } from '../../src/util/rng.ts';

/** Every symbol of the inputs becomes `extent`; floats are multiples of 1/64 in [-2, 2], exact in f16. */
export function randomFeeds(graph: Graph, random: Random, extent: number): ReadonlyMap<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  for (const input of graph.inputs) {
    const { dtype, shape } = graph.types[input];
    const bindings = Object.fromEntries(shape.flatMap(symbolsOf).map((name) => [name, extent]));
    const known = shape.map((dim) => bindDim(dim, bindings)).filter(isKnown);
    const draw = (): number => {
      if (isFloat(dtype)) return (randomBelow(random, 257) - 128) / 64;
      return randomBelow(random, dtype === 'bool' ? 2 : 4);
    };
    feeds.set(graph.names[input], fromNumbers(dtype, known, Array.from({ length: sizeOf(known) }, draw)));
  }
  return feeds;
}

/** Same outputs by name, bit for bit when `tolerance` is 0. Graphs with opaque constants cannot run: skipped. */
export function compareGraphs(before: Graph, after: Graph, tolerance: number): void {
  for (const { source } of [...before.constants.values(), ...after.constants.values()]) if (isOpaque(source)) return;
  const random = randomStream(1, 'feeds');
  for (const extent of [3, 1]) {
    const feeds = randomFeeds(before, random, extent);
    const wanted = runGraph(before, feeds);
    const found = runGraph(after, feeds);
    expect([...found.keys()]).toEqual([...wanted.keys()]);
    for (const [name, tensor] of wanted) {
      const other = found.get(name);
      expect({ name, dtype: other?.dtype, shape: other?.shape }).toEqual({
        name,
        dtype: tensor.dtype,
        shape: tensor.shape,
      });
      for (let i = 0; i < tensor.data.length; i++) {
        const [a, b] = [tensor.data[i], other?.data[i] ?? Number.NaN];
        const near = Object.is(a, b) || Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a));
        if (!near) throw new Error(`%${name}[${i}] was ${a}, is ${b}`);
      }
    }
  }
}
