/**
 * choose-regions: groups stages into regions and gives every template a shape and a region program.
 *
 * Before  fact `stages`.
 * After   fact `mapping`: one program per template, stage groups in order; the fullest core of every region is within
 *         the target's SRAM, and the regions fit the fabric.
 * Skips   nothing: a model that does not fit is `fit/sram` or `fit/fabric` with need, have and short.
 */
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import type { Target } from '../../src/ir/target.ts';
import { type NoFit, RegionSearch } from '../../src/map/search.ts';
import { definePass } from '../../src/pass/pass.ts';
import { termsOf } from '../../src/place/memory.ts';

export default definePass({
  name: 'choose-regions',
  summary: 'choose region shapes and layers per region; map every template',
  requires: ['stages'],
  provides: ['mapping'],
  preserves: ['stages'],
  numerics: 'exact',
  // regions, layersPerRegion: 0 = as many as is best; objective: latency or throughput.
  options: { disable: [] as readonly string[], objective: 'latency', regions: 0, layersPerRegion: 0 },
  run(program, { options, count }) {
    const { regions, layersPerRegion } = options;
    const objective = options.objective === 'throughput' ? 'throughput' : 'latency';
    const result = new RegionSearch({ ...program, options }, { objective, regions, layersPerRegion }).run();
    if ('noFit' in result) throw new Diagnosed([explain(result.noFit, program.target)]);
    const { programs, groups, copies } = result.found;
    count('regions', groups.length);
    return { ...program, mapping: { programs, groups, copies } };
  },
});

/** need / have / short of the fullest core, or of the fabric when every core would do. */
function explain({ reason, closest }: NoFit, target: Target): Diagnostic {
  const { map, shape, stages } = closest;
  const named = stages.length > 3 ? `${stages[0]} .. ${stages.at(-1)}` : stages.join(', ');
  const where = `${stages.length} stages (${named}) on ${shape.width}x${shape.height} cores of ${target.name}`;
  if (reason === 'sram') {
    return {
      code: 'fit/sram',
      severity: 'error',
      message: `the fullest core needs more SRAM than ${target.name} gives a program`,
      where,
      shortfall: { need: map.peakBytes, have: target.sramBytes, terms: termsOf(map) },
      notes: [
        'this is the arrangement that comes closest; every larger or smaller region needs more per core, or does not fit the fabric',
      ],
    };
  }
  return {
    code: 'fit/fabric',
    severity: 'error',
    message: `the regions need more cores than ${target.name} has`,
    where,
    notes: [
      `${target.width}x${target.height} cores; each region is already as small as the SRAM of its fullest core allows`,
    ],
  };
}
