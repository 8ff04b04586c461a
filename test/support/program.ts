/** Programs for tests of passes that look at the graph only. */
import type { Program } from '../../src/ir/facts.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { Target } from '../../src/ir/target.ts';

/** 4 x 4 cores of 48 KiB: small enough to work out by hand. */
export const TINY: Target = {
  name: 'tiny',
  summary: 'a mesh for tests',
  width: 4,
  height: 4,
  defects: [],
  sramBytes: 49_152,
  reservedCodeBytes: 4096,
  reservedStackBytes: 1024,
  alignBytes: 16,
  clocksGHz: [1],
  macsPerCycle: { f32: 1, f16: 4 },
  simdPerCycle: { f32: 2, f16: 4 },
  unpackPerCycle: 2,
  sramReadBytesPerCycle: 16,
  hopCycles: 1,
  rampCycles: 2,
  waveletBytes: 4,
  colors: { usable: [0, 1, 2, 3], switchable: [] },
  queues: { input: 4, output: 4 },
  host: { gigabitsPerSecond: 100, latencyMicroseconds: 10 },
  sources: {},
};

export const programOf = (graph: Graph): Program => ({
  graph,
  target: TINY,
  mode: { kind: 'whole', batch: 1, context: 16 },
  roles: new Map(),
});
