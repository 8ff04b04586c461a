/**
 * SRAM of a plan by brute force: sizes of tiles core by core, uses of buffers op by op, bytes owned at every position.
 * For tests: shares nothing with the checker.
 */
import type { ProgramTensor, RegionProgram, RegionShape } from '../../src/ir/program.ts';
import { bytesFor } from '../../src/ir/types.ts';
import { usesOf } from '../../src/map/uses.ts';
import { weightBytes } from '../../src/plan/coded-tiles.ts';
import type { Plan } from '../../src/plan/types.ts';

interface Use {
  readonly kind: string;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

/** What is not so in an SRAM map; undefined when all of it is. */
export function memoryFault(plan: Plan): string | undefined {
  for (const r of plan.regions.keys()) {
    const fault = regionFault(plan, r);
    if (fault !== undefined) return `region ${r}: ${fault}`;
  }
  return plan.memory.length === plan.regions.length ? undefined : `${plan.memory.length} maps`;
}

function regionFault(plan: Plan, r: number): string | undefined {
  const { sramBytes, alignBytes } = plan.target;
  const { buffers, peakBytes } = plan.memory[r];
  const uses = usesIn(plan, r);
  const names = buffers.map((b) => b.name.split(' ')[0]);
  if (new Set(names).size !== names.length || names.length !== uses.size) return 'other buffers';
  let end = 0;
  for (const [i, b] of buffers.entries()) {
    const use = uses.get(names[i]);
    if (use === undefined) return `${names[i]} is nothing`;
    if (b.kind !== use.kind || b.bytes < use.bytes) return `${b.name} is ${b.kind} of ${b.bytes}`;
    if (b.live[0] > use.first || b.live[1] < use.last) return `${b.name} is not live when it is used`;
    if (b.offset < 0 || b.offset % alignBytes !== 0 || b.offset + b.bytes > sramBytes) return `${b.name} lies wrong`;
    end = Math.max(end, b.offset + b.bytes);
  }
  if (end !== peakBytes) return `peak of ${end}`;
  const last = Math.max(...buffers.map((b) => b.live[1]));
  const owner = new Int32Array(sramBytes);
  for (let time = 0; time <= last; time++)
    for (const [i, b] of buffers.entries()) {
      if (b.live[0] > time || b.live[1] < time) continue;
      const taken = owner.subarray(b.offset, b.offset + b.bytes);
      if (taken.some((mark) => Math.floor(mark / buffers.length) === time + 1)) return `${b.name} overlaps at ${time}`;
      taken.fill((time + 1) * buffers.length + i);
    }
  return undefined;
}

function usesIn(plan: Plan, r: number): Map<string, Use> {
  const { target, templates, stages, regions, mode } = plan;
  const uses = new Map<string, Use>();
  const own = regions[r].stages.map((s) => stages[s].template);
  const held = [...new Set(own)];
  const end = held.reduce((n, t) => n + templates[t].program.ops.length + 1, 0) - 1;
  const always = { first: 0, last: end };
  uses.set('code', { kind: 'code', bytes: target.reservedCodeBytes, ...always });
  uses.set('stack', { kind: 'stack', bytes: target.reservedStackBytes, ...always });
  let start = 0;
  for (const [h, t] of held.entries()) {
    const { program } = templates[t];
    const count = own.filter((o) => o === t).length;
    for (const [i, tensor] of program.tensors.entries()) {
      const bytes = largest(tensor, program.shape);
      const { role } = tensor;
      if (role === 'weight' || role === 'state') {
        const all = Math.ceil(bytes / target.alignBytes) * target.alignBytes * mode.batch;
        const [kind, size] = role === 'state' ? ['kv', all] : ['weight', bytes];
        for (let s = 0; s < count; s++) uses.set(`${h}.${s}:${i}`, { kind: `${kind}`, bytes: Number(size), ...always });
        continue;
      }
      const touched = program.ops.flatMap((op, at) => {
        const { reads, writes } = usesOf(op);
        return [...reads, ...writes].includes(i) ? [start + at] : [];
      });
      const leaves = role === 'output' || program.outputs.includes(i);
      if (touched.length === 0 && role !== 'input' && !leaves) continue;
      const first = role === 'input' ? 0 : (touched[0] ?? start);
      const last = role === 'input' ? end : leaves ? start + program.ops.length : touched[touched.length - 1];
      uses.set(`${h}:${i}`, { kind: 'activation', bytes, first, last });
    }
    receives(program, h, start, target.waveletBytes, uses);
    start += program.ops.length + 1;
  }
  return uses;
}

function receives(
  { ops, tensors, shape }: RegionProgram,
  h: number,
  start: number,
  wavelet: number,
  uses: Map<string, Use>,
): void {
  for (const [i, op] of ops.entries()) {
    if (op.op !== 'all_reduce' && op.op !== 'reduce_scatter') continue;
    const wide = (t: ProgramTensor): ProgramTensor => ({ ...t, dtype: bytesFor(t.dtype, 1) === 4 ? t.dtype : 'f16' });
    const all = op.inputs.reduce((n, t) => n + largest(wide(tensors[t]), shape), 0);
    // Sums and maxima are combined as they come, a wavelet at least.
    const bytes = op.combine === 'sum' || op.combine === 'max' ? Math.min(all, wavelet) : all;
    if (all > 0) uses.set(`${h}:op${i}`, { kind: 'receive', bytes, first: start + i, last: start + i });
  }
}

/** Bytes of the largest tile, from the elements of every core. */
function largest(tensor: ProgramTensor, region: RegionShape): number {
  if (tensor.coding !== undefined) {
    // The format of coded tiles has tests of its own; all tiles together, if there is one only.
    const alone = { ...region, width: 1, height: 1, groups: 1 };
    if (tensor.layout.dims.flat().length === 0) return weightBytes(tensor, alone);
    throw new Error('coded weights in cut layouts are not counted here');
  }
  const inner = region.width / region.groups;
  const sizes = { y: region.height, xo: region.groups, xi: inner };
  let most = 0;
  for (let y = 0; y < region.height; y++)
    for (let x = 0; x < region.width; x++) {
      const place = { y, xo: Math.floor(x / inner), xi: x % inner };
      let elements = 1;
      for (const [d, extent] of tensor.shape.entries()) {
        const axes = tensor.layout.dims[d];
        if (tensor.layout.cyclic === true && d === 0) {
          const owners = axes.reduce((n, a) => n * sizes[a], 1);
          const own = axes.reduce((n, a) => n * sizes[a] + place[a], 0);
          elements *= Math.max(0, Math.ceil((extent - own) / owners));
          continue;
        }
        let length = extent;
        for (const a of axes)
          length = Math.floor(((place[a] + 1) * length) / sizes[a]) - Math.floor((place[a] * length) / sizes[a]);
        elements *= length;
      }
      most = Math.max(most, bytesFor(tensor.dtype, elements));
    }
  return most;
}
