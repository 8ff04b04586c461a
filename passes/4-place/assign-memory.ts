/**
 * assign-memory: byte addresses on the fullest core of every region.
 *
 * Before  facts `mapping` and `placement`.
 * After   fact `memory`: code, stack, weights, KV, activations with lifetimes, receive buffers; nothing that is live at
 *         the same time overlaps, and the peak is within the target's ceiling.
 * Skips   nothing.
 */
import { definePass } from '../../src/pass/pass.ts';
import { heldBy, mapMemory } from '../../src/place/memory.ts';

export default definePass({
  name: 'assign-memory',
  summary: 'map the SRAM of the fullest core of every region',
  requires: ['stages', 'mapping', 'placement'],
  provides: ['memory'],
  preserves: ['stages', 'mapping', 'placement'],
  numerics: 'exact',
  options: {},
  run(program) {
    const { stages, mapping, mode, target } = program;
    const maps = mapping.groups.map((group) => mapMemory(heldBy(group, stages, mapping.programs), mode.batch, target));
    return { ...program, memory: { maps } };
  },
});
