/**
 * SRAM of the fullest core of a region. One map serves all its cores: the program is the same everywhere, so every
 * buffer is as large as the largest tile and stands at the same address.
 *
 * Names of buffers, by which verify/fit.ts finds them: `H` = position in the list of programs held (by first
 * appearance among the region's stages), `N` = tensor or op of the program.
 *   `code`, `stack`      reserved by the target
 *   `H.S:N name`         weight N, or state N of all sequences, of the S-th stage of the region that runs H
 *   `H:N name`           activation N; the stages of a program use it in turn
 *   `H:opN receive`      what a collective receives before it is combined
 * Positions of `live` count through the op lists of the programs held, one after another, each with one more for its
 * end: program H starts at the sum of (ops + 1) of those before it. Residents and inputs live from 0 to the last end.
 */
import { tileBytes, wireBytes } from '../cost/tile.ts';
import type { Term } from '../diag/diagnostic.ts';
import type { Buffer, Memory, Stages } from '../ir/facts.ts';
import { isCollective, type ProgramOp, type RegionProgram } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { alignUp, assignOffsets } from './intervals.ts';
import { lifetimesOf } from './lifetimes.ts';

export type MemoryMap = Memory['maps'][number];

/** A program, and how many stages of the region run it one after another. */
export interface Held {
  readonly program: RegionProgram;
  readonly stageCount: number;
}

/** Assumed: sums and maxima are combined as they arrive, in pieces of at most this size. */
const RECEIVE_CHUNK_BYTES = 1024;

type Unplaced = Omit<Buffer, 'offset'>;

/** Programs that the stages of `group` run, by first appearance, with the number of stages each: what its region holds. */
export function heldBy(group: readonly number[], { stages }: Stages, programs: readonly RegionProgram[]): Held[] {
  const counts = new Map<number, number>();
  for (const s of group) counts.set(stages[s].template, (counts.get(stages[s].template) ?? 0) + 1);
  return [...counts].map(([template, stageCount]) => ({ program: programs[template], stageCount }));
}

/**
 * The map of a region that holds `held`, with state for `batch` sequences. The peak may exceed the target's SRAM:
 * the caller says so, with {@link termsOf}.
 */
export function mapMemory(held: readonly Held[], batch: number, target: Target): MemoryMap {
  const starts = startsOf(held);
  const end = starts[held.length] - 1;
  const always: readonly [number, number] = [0, Math.max(0, end)];
  const fixed: Unplaced[] = [
    { name: 'code', kind: 'code', bytes: target.reservedCodeBytes, live: always },
    { name: 'stack', kind: 'stack', bytes: target.reservedStackBytes, live: always },
    ...held.flatMap((h, i) => residents(h, i, { batch, align: target.alignBytes, always })),
  ];
  const buffers: Buffer[] = [];
  const stride = strideOf(target);
  let top = 0;
  // Weights before state before activations: what changes least lies lowest.
  for (const kind of ['code', 'stack', 'weight', 'kv'] as const) {
    for (const buffer of fixed.filter((b) => b.kind === kind)) {
      buffers.push({ ...buffer, offset: top });
      top = alignUp(top + buffer.bytes, stride);
    }
  }
  const moving = held.flatMap((h, i) => transients(h, i, { start: starts[i], always }));
  const offsets = assignOffsets(moving, stride);
  // What a product reads beside its weights, and sums into, starts in the other banks.
  const base = top + (target.bankBytes ?? 0) / 2;
  for (const [i, buffer] of moving.entries()) buffers.push({ ...buffer, offset: base + offsets[i] });
  return { buffers, peakBytes: peakOf(buffers) };
}

/** Buffers start this far apart: whole words, and as the banks repeat. */
export const strideOf = ({ alignBytes, bankBytes = 0 }: Target): number => Math.max(alignBytes, bankBytes);

const peakOf = (buffers: readonly Buffer[]): number => buffers.reduce((n, b) => Math.max(n, b.offset + b.bytes), 0);

/** Position at which each program starts; one more entry for the end of all. */
function startsOf(held: readonly Held[]): number[] {
  const starts = [0];
  for (const { program } of held) starts.push(starts[starts.length - 1] + program.ops.length + 1);
  return starts;
}

function residents(
  { program, stageCount }: Held,
  index: number,
  { batch, align, always }: { batch: number; align: number; always: readonly [number, number] },
): Unplaced[] {
  const out: Unplaced[] = [];
  for (let stage = 0; stage < stageCount; stage++) {
    for (const [t, tensor] of program.tensors.entries()) {
      if (tensor.role !== 'weight' && tensor.role !== 'state') continue;
      const tile = tileBytes(tensor, program.shape);
      const state = tensor.role === 'state';
      out.push({
        name: `${index}.${stage}:${t} ${tensor.name}`,
        kind: state ? 'kv' : 'weight',
        bytes: state ? alignUp(tile, align) * batch : tile,
        live: always,
      });
    }
  }
  return out;
}

function transients(
  { program }: Held,
  index: number,
  { start, always }: { start: number; always: readonly [number, number] },
): Unplaced[] {
  const out: Unplaced[] = [];
  for (const { tensor: t, first, last } of lifetimesOf(program)) {
    const tensor = program.tensors[t];
    out.push({
      name: `${index}:${t} ${tensor.name}`,
      kind: 'activation',
      bytes: tileBytes(tensor, program.shape),
      // Any stage of the region may hand over to this one: an input lies on nobody's outputs.
      live: tensor.role === 'input' ? always : [start + first, start + last],
    });
  }
  for (const [i, op] of program.ops.entries()) {
    const bytes = receiveBytes(op, program);
    if (bytes > 0) out.push({ name: `${index}:op${i} receive`, kind: 'receive', bytes, live: [start + i, start + i] });
  }
  return out;
}

/**
 * Bytes a core keeps of what it receives before it can combine it: a piece where elements combine one by one, all
 * of it where a merge needs the statistics first. A gather receives into its output.
 */
function receiveBytes(op: ProgramOp, { tensors, shape }: RegionProgram): number {
  if (!isCollective(op) || op.op === 'all_gather') return 0;
  const payload = op.inputs.reduce((n, t) => n + wireBytes(tensors[t], shape), 0);
  return op.combine === 'sum' || op.combine === 'max' ? Math.min(payload, RECEIVE_CHUNK_BYTES) : payload;
}

const KINDS = [
  ['weights', 'weight'],
  ['KV cache', 'kv'],
  ['activations', 'activation'],
  ['receive buffers', 'receive'],
  ['code', 'code'],
  ['stack', 'stack'],
] as const;

/**
 * What the peak is made of; the terms add up to it. Activations and receive buffers are those of the fullest moment,
 * and what alignment and the packing of lifetimes leave between is a term of its own.
 */
export function termsOf({ buffers, peakBytes }: MemoryMap): Term[] {
  const moment = fullestMoment(buffers);
  const terms: Term[] = KINDS.map(([what, kind]) => {
    const counted = buffers.filter((b) => b.kind === kind && b.live[0] <= moment && moment <= b.live[1]);
    return { what, bytes: counted.reduce((n, b) => n + b.bytes, 0) };
  });
  const named = terms.reduce((n, t) => n + t.bytes, 0);
  return [...terms, { what: 'alignment', bytes: peakBytes - named }];
}

/** First position at which most bytes are live. */
function fullestMoment(buffers: readonly Buffer[]): number {
  const end = buffers.reduce((n, b) => Math.max(n, b.live[1]), 0);
  const change = new Float64Array(end + 2);
  for (const { live, bytes } of buffers) {
    change[live[0]] += bytes;
    change[live[1] + 1] -= bytes;
  }
  let [now, most, moment] = [0, -1, 0];
  for (let i = 0; i <= end; i++) {
    now += change[i];
    if (now > most) [most, moment] = [now, i];
  }
  return moment;
}
