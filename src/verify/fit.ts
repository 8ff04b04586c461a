/**
 * SRAM maps, recomputed from programs, layouts and target alone; shares no code with the mapper of memory.
 *
 * F1: every buffer ends within the SRAM of a core
 * F2: no two buffers that are live at the same time overlap
 * F3: every buffer starts at a multiple of the target's alignment
 * F4: the stated peak is where the highest buffer ends
 * F5: every tensor of every stage has one buffer, large enough for the largest tile, for state once per sequence
 * F6: a buffer is live whenever an op, the stage before or the stage after touches what it holds; residents always
 * F7: code and stack are given what the target reserves
 * F8: a reduction has room for what it receives; all of it when the merge needs the statistics first
 * F9: one map per group; every buffer has a name of its own, and holds something the group has
 * F10: where the target has banks, activations start in others than weights and state
 *
 * Names and positions as described in src/place/memory.ts, which is the format of the fact.
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Buffer, With } from '../ir/facts.ts';
import type { RegionProgram } from '../ir/program.ts';
import { type Need, needsOf } from './needs.ts';

export type FittedProgram = Pick<
  With<'stages' | 'mapping' | 'memory'>,
  'target' | 'mode' | 'stages' | 'mapping' | 'memory'
>;

/** Everything that is wrong with the memory maps; empty when they hold. */
export function verifyFit(program: FittedProgram): Diagnostic[] {
  const { mapping, memory } = program;
  const [is, want] = [memory.maps.length, mapping.groups.length];
  if (is !== want) return [broken('F9', `${is} memory maps, expected one for each of ${want} groups`)];
  return memory.maps.flatMap((map, group) => [
    ...verifyAddresses(map, group, program),
    ...verifyOverlaps(map.buffers, group),
    ...verifyContents(map.buffers, group, program),
  ]);
}

/** Overlaps that are told; one mostly means many. */
const MOST_TOLD = 20;

const broken = (rule: string, message: string): Diagnostic => ({ code: `verify/${rule}`, severity: 'error', message });
const range = (b: Buffer): string => `${b.offset}..${b.offset + b.bytes}`;

/** What stays: the other operand of products. */
const RESIDENT: ReadonlySet<Buffer['kind']> = new Set(['code', 'stack', 'weight', 'kv']);

function verifyAddresses(
  { buffers, peakBytes }: FittedProgram['memory']['maps'][number],
  group: number,
  { target }: FittedProgram,
): Diagnostic[] {
  const found: Diagnostic[] = [];
  let top = 0;
  for (const b of buffers) {
    const whole = Number.isInteger(b.offset) && Number.isInteger(b.bytes) && b.offset >= 0 && b.bytes >= 0;
    if (!whole || b.offset + b.bytes > target.sramBytes)
      found.push(broken('F1', `group ${group}: ${b.name} at ${range(b)} ends beyond ${target.sramBytes} bytes`));
    if (b.offset % target.alignBytes !== 0)
      found.push(
        broken('F3', `group ${group}: ${b.name} at ${range(b)} does not start at a multiple of ${target.alignBytes}`),
      );
    const [period, own] = [target.bankBytes ?? 1, RESIDENT.has(b.kind) ? 0 : (target.bankBytes ?? 0) / 2];
    if (b.offset % period !== own)
      found.push(
        broken(
          'F10',
          `group ${group}: ${b.name} at ${range(b)} starts at ${b.offset % period} of ${period} bytes, not ${own}`,
        ),
      );
    top = Math.max(top, b.offset + b.bytes);
  }
  if (top !== peakBytes) found.push(broken('F4', `group ${group}: peak stated ${peakBytes}, found ${top}`));
  return found;
}

function verifyOverlaps(buffers: readonly Buffer[], group: number): Diagnostic[] {
  const found: Diagnostic[] = [];
  const order = [...buffers].sort((a, b) => a.offset - b.offset);
  for (const [i, a] of order.entries())
    for (let j = i + 1; j < order.length && order[j].offset < a.offset + a.bytes; j++) {
      const b = order[j];
      if (b.bytes > 0 && a.live[0] <= b.live[1] && b.live[0] <= a.live[1])
        found.push(
          broken('F2', `group ${group}: ${a.name} at ${range(a)} and ${b.name} at ${range(b)} are live together`),
        );
      if (found.length === MOST_TOLD) return found;
    }
  return found;
}

/** Programs that the stages of a group run, by first appearance, with the number of stages each. */
function programsOf(group: readonly number[], { stages, mapping }: FittedProgram): [RegionProgram, number][] {
  const templates = group.map((s) => stages.stages[s].template);
  const distinct = templates.filter((t, i) => templates.indexOf(t) === i);
  return distinct.map((t) => [mapping.programs[t], templates.filter((other) => other === t).length]);
}

function verifyContents(buffers: readonly Buffer[], group: number, program: FittedProgram): Diagnostic[] {
  const { target, mode, mapping } = program;
  const found: Diagnostic[] = [];
  const byName = new Map<string, Buffer>();
  for (const b of buffers) {
    // What follows the blank is for people.
    const key = b.name.split(' ')[0];
    if (byName.has(key)) found.push(broken('F9', `group ${group}: two buffers ${key}`));
    byName.set(key, b);
  }
  const held = programsOf(mapping.groups[group], program);
  const needs = needsOf(held, { batch: mode.batch, align: target.alignBytes, waveletBytes: target.waveletBytes });
  const end = held.reduce((n, [{ ops }]) => n + ops.length + 1, 0) - 1;
  for (const kind of ['code', 'stack'] as const) {
    const bytes = kind === 'code' ? target.reservedCodeBytes : target.reservedStackBytes;
    needs.push({ rule: 'F7', key: kind, what: kind, kind, bytes, live: [0, end] });
  }
  for (const need of needs) {
    found.push(...verifyNeed(need, byName.get(need.key), group));
    byName.delete(need.key);
  }
  for (const key of byName.keys()) found.push(broken('F9', `group ${group}: buffer ${key} holds nothing of the group`));
  return found;
}

function verifyNeed(need: Need, b: Buffer | undefined, group: number): Diagnostic[] {
  if (b === undefined) return [broken(need.rule, `group ${group}: no buffer for ${need.what} (${need.key})`)];
  const found: Diagnostic[] = [];
  if (b.bytes < need.bytes || b.kind !== need.kind)
    found.push(
      broken(
        need.rule,
        `group ${group}: ${b.name} is ${b.kind} of ${b.bytes} bytes, ${need.what} needs ${need.kind} of ${need.bytes}`,
      ),
    );
  if (b.live[0] > need.live[0] || b.live[1] < need.live[1])
    found.push(
      broken(
        'F6',
        `group ${group}: ${b.name} is live ${b.live.join('..')}, ${need.what} is used ${need.live.join('..')}`,
      ),
    );
  return found;
}
