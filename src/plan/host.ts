/** The host's part of a plan: graphs in .wir text whose larger constants are ranges of weights.bin. */
import { readSync } from 'node:fs';
import type { ByteSource } from '../ir/constant.ts';
import type { Graph } from '../ir/graph.ts';
import { parseGraph } from '../ir/parse.ts';
import type { Plan } from './types.ts';

/** Parses the graphs that run before and after the wafer. `fd` is weights.bin and must be open while they run for the first time. */
export function hostGraphs(host: Plan['host'], fd: number): [Graph, Graph] {
  const sources = new Map<string, ByteSource>();
  for (const { name, offset, bytes } of host.constants) {
    const held = new Uint8Array(bytes);
    readSync(fd, held, 0, bytes, offset);
    sources.set(name, {
      label: name,
      byteLength: bytes,
      read: (at, into) => into.set(held.subarray(at, at + into.byteLength)),
    });
  }
  return [parseGraph(host.before, { sources }), parseGraph(host.after, { sources })];
}
