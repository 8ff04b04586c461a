/** What the SRAM of a region must hold, and when: by walking the ops of its programs. For verify/fit.ts. */
import type { Buffer } from '../ir/facts.ts';
import type { ProgramOp, RegionProgram, T } from '../ir/program.ts';
import { mostBytes, mostElements } from './tile-sizes.ts';

export interface Need {
  readonly rule: 'F5' | 'F7' | 'F8';
  /** First word of the buffer's name. */
  readonly key: string;
  readonly what: string;
  readonly kind: Buffer['kind'];
  readonly bytes: number;
  readonly live: readonly [number, number];
}

interface Sizes {
  readonly batch: number;
  readonly align: number;
  readonly waveletBytes: number;
}

/** Fields of ops that name tensors. */
const FIELDS = [
  'x',
  'out',
  'a',
  'b',
  'weights',
  'table',
  'index',
  'sums',
  'gamma',
  'beta',
  'moments',
  'cos',
  'sin',
  'state',
  'q',
  'keys',
  'values',
  'mask',
  'scales',
  'keyScales',
  'valueScales',
  'stats',
  'scores',
  'o',
  'inputs',
  'outputs',
  'parts',
] as const;

/** Tensors an op names, read off its fields; the index of `token` is a position. */
export function tensorsOf(op: ProgramOp): Set<T> {
  const named = new Set<T>();
  const fields: ReadonlyMap<string, unknown> = new Map(Object.entries(op));
  for (const field of FIELDS) {
    const value = op.op === 'token' && field === 'index' ? undefined : fields.get(field);
    for (const t of Array.isArray(value) ? value : [value]) if (typeof t === 'number') named.add(t);
  }
  return named;
}

/** Needs of all programs held, each with the number of stages that run it. */
export function needsOf(held: readonly (readonly [RegionProgram, number])[], sizes: Sizes): Need[] {
  const needs: Need[] = [];
  let start = 0;
  const end = held.reduce((n, [{ ops }]) => n + ops.length + 1, 0) - 1;
  for (const [h, [program, stageCount]] of held.entries()) {
    for (const [t, tensor] of program.tensors.entries()) {
      const tile = mostBytes(tensor, program.shape);
      if (tensor.role === 'weight' || tensor.role === 'state') {
        const padded = tile + ((sizes.align - (tile % sizes.align)) % sizes.align);
        const [kind, bytes] =
          tensor.role === 'state' ? (['kv', padded * sizes.batch] as const) : (['weight', tile] as const);
        for (let s = 0; s < stageCount; s++)
          needs.push({ rule: 'F5', key: `${h}.${s}:${t}`, what: tensor.name, kind, bytes, live: [0, end] });
        continue;
      }
      const live = liveOf(t, program, { start, end });
      if (live !== undefined)
        needs.push({ rule: 'F5', key: `${h}:${t}`, what: tensor.name, kind: 'activation', bytes: tile, live });
    }
    needs.push(...receives(program, { h, start, waveletBytes: sizes.waveletBytes }));
    start += program.ops.length + 1;
  }
  return needs;
}

function liveOf(
  t: T,
  { tensors, ops, outputs }: RegionProgram,
  { start, end }: { start: number; end: number },
): [number, number] | undefined {
  const { role } = tensors[t];
  const after = start + ops.length;
  // Handed over by any stage of the region while that one's outputs are still there, or by another region any time.
  if (role === 'input') return [0, end];
  let span: [number, number] | undefined;
  for (const [i, op] of ops.entries())
    if (tensorsOf(op).has(t)) span = span === undefined ? [start + i, start + i] : [span[0], start + i];
  if (role === 'output' || outputs.includes(t)) return [span?.[0] ?? start, after];
  return span;
}

/** A reduction that adds up as it receives needs room for a wavelet at least; a merge for all that comes. */
function receives(
  { tensors, ops, shape }: RegionProgram,
  { h, start, waveletBytes }: { h: number; start: number; waveletBytes: number },
): Need[] {
  return ops.flatMap((op, i): Need[] => {
    if (op.op !== 'all_reduce' && op.op !== 'reduce_scatter') return [];
    let payload = 0;
    for (const t of op.inputs) {
      const wide = tensors[t].dtype === 'f32' || tensors[t].dtype === 'i32' || tensors[t].dtype === 'u32';
      payload += mostElements(tensors[t], shape) * (wide ? 4 : 2);
    }
    if (payload === 0) return [];
    const streams = op.combine === 'sum' || op.combine === 'max';
    const bytes = streams ? Math.min(payload, waveletBytes) : payload;
    const live: [number, number] = [start + i, start + i];
    return [{ rule: 'F8', key: `${h}:op${i}`, what: `what op ${i} receives`, kind: 'receive', bytes, live }];
  });
}
