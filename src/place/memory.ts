/**
 * The SRAM map of a region's fullest core: what stays (code, stack, weights, KV), and what lives for a while
 * (activations, receive buffers) in space that is used again. Tile sizes are those of the largest part of every
 * tensor, so the map holds for every core of the region.
 */
import type { Buffer } from '../ir/facts.ts';
import {
  axisSize,
  isCollective,
  type ProgramOp,
  type ProgramTensor,
  type RegionProgram,
  type RegionShape,
  type T,
} from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { bytesFor } from '../ir/types.ts';
import { usesOf } from '../map/collectives.ts';

/** A program and how many stages of it a region holds. */
export interface Held {
  readonly program: RegionProgram;
  readonly stages: number;
}
export interface MemoryMap {
  readonly buffers: readonly Buffer[];
  readonly peakBytes: number;
}

/** Elements of the largest part when `extent` is cut by axes, outermost first. */
const largestPart = (extent: number, parts: readonly number[]): number =>
  parts.reduce((n, p) => Math.ceil(n / p), extent);

/** Bytes of the largest tile of a tensor over the cores of a region. */
export function largestTileBytes({ dtype, shape, layout }: ProgramTensor, region: RegionShape): number {
  const elements = shape.reduce(
    (n, extent, d) =>
      n *
      largestPart(
        extent,
        layout.dims[d].map((axis) => axisSize(region, axis)),
      ),
    1,
  );
  return bytesFor(dtype, elements);
}

/** The map of a region that holds `held` stages for `batch` sequences. It may exceed the target: the caller compares. */
export function mapMemory(held: readonly Held[], batch: number, target: Target): MemoryMap {
  const align = (bytes: number): number => Math.ceil(bytes / target.alignBytes) * target.alignBytes;
  const buffers: Buffer[] = [];
  let offset = 0;
  const keep = (name: string, kind: Buffer['kind'], bytes: number): void => {
    if (bytes === 0) return;
    buffers.push({ name, kind, offset, bytes, live: ALWAYS });
    offset = align(offset + bytes);
  };
  keep('code', 'code', target.reservedCodeBytes);
  keep('stack', 'stack', target.reservedStackBytes);
  for (const { program, stages } of held) {
    const sum = (role: 'weight' | 'state', times: number): void => {
      for (const tensor of program.tensors) {
        if (tensor.role !== role) continue;
        const bytes = align(largestTileBytes(tensor, program.shape)) * times;
        keep(times === 1 ? tensor.name : `${tensor.name} x${times}`, role === 'weight' ? 'weight' : 'kv', bytes);
      }
    };
    sum('weight', stages);
    sum('state', stages * batch);
  }
  // One stage of a region runs at a time: all programs share the space above the residents.
  let peak = offset;
  for (const { program } of held) {
    for (const scratch of scratchOf(program, align)) {
      buffers.push({ ...scratch, offset: offset + scratch.offset });
      peak = Math.max(peak, offset + scratch.offset + scratch.bytes);
    }
  }
  return { buffers, peakBytes: align(peak) };
}

/** Residents are live before the first op and after the last. */
const ALWAYS: readonly [number, number] = [0, Number.MAX_SAFE_INTEGER];

/** Activations and receive buffers with their lifetimes, packed first-fit in order of size. */
function scratchOf(program: RegionProgram, align: (bytes: number) => number): Buffer[] {
  const { tensors, ops, shape } = program;
  const wanted: Omit<Buffer, 'offset'>[] = [];
  const spans = lifetimes(program);
  for (const [t, span] of spans) {
    const tensor = tensors[t];
    wanted.push({ name: tensor.name, kind: 'activation', bytes: align(largestTileBytes(tensor, shape)), live: span });
  }
  for (const [i, op] of ops.entries()) {
    if (!isCollective(op)) continue;
    wanted.push({ name: `${op.node}/receive`, kind: 'receive', bytes: receiveBytes(op, program, align), live: [i, i] });
  }
  const order = [...wanted.keys()].sort((a, b) => wanted[b].bytes - wanted[a].bytes || a - b);
  const placed: Buffer[] = [];
  for (const i of order) {
    const next = wanted[i];
    if (next.bytes === 0) continue;
    const busy = placed
      .filter((p) => p.live[0] <= next.live[1] && next.live[0] <= p.live[1])
      .sort((a, b) => a.offset - b.offset);
    let at = 0;
    for (const p of busy) {
      if (at + next.bytes <= p.offset) break;
      at = Math.max(at, p.offset + p.bytes);
    }
    placed.push({ ...next, offset: at });
  }
  return placed;
}

/** A reduction receives one tile of the message while it holds its own; a gather receives into its result. */
function receiveBytes(
  op: ProgramOp & { inputs?: readonly T[] },
  { tensors, shape }: RegionProgram,
  align: (bytes: number) => number,
): number {
  if (op.op === 'all_gather') return 0;
  return (op.inputs ?? []).reduce((n, t) => n + align(largestTileBytes(tensors[t], shape)), 0);
}

/** From the op that writes a tensor (0 for step inputs) to the last that reads it (the end for outputs). */
function lifetimes({ tensors, ops, inputs, outputs }: RegionProgram): Map<T, readonly [number, number]> {
  const spans = new Map<T, [number, number]>();
  const touch = (t: T, at: number): void => {
    if (tensors[t].role === 'weight' || tensors[t].role === 'state') return;
    const span = spans.get(t);
    if (span) span[1] = Math.max(span[1], at);
    else spans.set(t, [at, at]);
  };
  for (const input of inputs) if (input) touch(input.tensor, 0);
  for (const [i, op] of ops.entries()) {
    const { reads, writes } = usesOf(op);
    for (const t of [...reads, ...writes]) touch(t, i);
  }
  for (const t of outputs) if (t !== null) touch(t, ops.length);
  return spans;
}

const KIND_NAMES: Readonly<Record<Buffer['kind'], string>> = {
  code: 'code',
  stack: 'stack',
  weight: 'weights',
  kv: 'KV cache',
  activation: 'activations and receive buffers',
  receive: 'activations and receive buffers',
};

/** What the peak is made of; terms add up to it. */
export function termsOf({ buffers, peakBytes }: MemoryMap): { what: string; bytes: number }[] {
  const terms = new Map<string, number>();
  for (const { kind, bytes } of buffers) {
    if (kind === 'activation' || kind === 'receive') continue;
    terms.set(KIND_NAMES[kind], (terms.get(KIND_NAMES[kind]) ?? 0) + bytes);
  }
  const resident = [...terms.values()].reduce((a, b) => a + b, 0);
  const residentEnd = buffers
    .filter((b) => b.kind !== 'activation' && b.kind !== 'receive')
    .reduce((n, b) => Math.max(n, b.offset + b.bytes), 0);
  const scratch = peakBytes - residentEnd;
  if (scratch > 0) terms.set(KIND_NAMES.activation, scratch);
  const alignment = peakBytes - resident - Math.max(0, scratch);
  if (alignment > 0) terms.set('alignment', alignment);
  return [...terms].map(([what, bytes]) => ({ what, bytes }));
}
