/**
 * choose-regions: groups stages into regions and gives every template a shape and a region program.
 *
 * Before  fact `stages`.
 * After   fact `mapping`: one program per template, stage groups in order; the fullest core of every region is within
 *         the target's SRAM, and the regions fit the fabric.
 *         Weights full of zeros are stored without them where their fullest tile is smaller for it (`dense`: never); their tiles are
 *         counted, and the search is repeated when the fullest core is fuller than it was taken to be.
 * Skips   nothing: a model that does not fit is `fit/sram` or `fit/fabric` with need, have and short.
 */
import { Diagnosed, type Diagnostic } from '../../src/diag/diagnostic.ts';
import type { With } from '../../src/ir/facts.ts';
import type { Target } from '../../src/ir/target.ts';
import { type NoFit, RegionSearch } from '../../src/map/search.ts';
import { countPrograms, densitiesOf, type Spreads } from '../../src/map/sparse.ts';
import { definePass } from '../../src/pass/pass.ts';
import { heldBy, mapMemory, termsOf } from '../../src/place/memory.ts';

export default definePass({
  name: 'choose-regions',
  summary: 'choose region shapes and layers per region; map every template',
  requires: ['stages'],
  provides: ['mapping'],
  preserves: ['stages'],
  numerics: 'exact',
  // regions, layersPerRegion: 0 = as many as is best; objective: latency or throughput; dense: zeros are stored like other values.
  options: {
    disable: [] as readonly string[],
    objective: 'latency',
    regions: 0,
    layersPerRegion: 0,
    dense: false as boolean,
  },
  run(program, { options, count, report }) {
    const { graph, stages, target } = program;
    const { regions, layersPerRegion, dense } = options;
    const objective = options.objective === 'throughput' ? 'throughput' : 'latency';
    let spreads: Spreads = new Map();
    for (let round = 0; ; round++) {
      const densities = dense || round === ROUNDS ? new Map() : densitiesOf(graph, stages, spreads);
      const input = { ...program, options, densities };
      const result = new RegionSearch(input, { objective, regions, layersPerRegion }).run();
      if ('noFit' in result) throw new Diagnosed([explain(result.noFit, target)]);
      const { groups, copies } = result.found;
      const found = countPrograms(result.found.programs, graph, stages, spreads);
      const mapping = { programs: found.programs, groups, copies };
      if (densities.size > 0 && isTooFull({ ...program, mapping })) {
        spreads = found.spreads;
        continue;
      }
      count('regions', groups.length);
      const kept = found.programs.flatMap(({ tensors }) => tensors.filter(({ sparsity }) => sparsity !== undefined));
      count('sparse weights', kept.length);
      if (kept.length > 0)
        report({
          code: 'fit/sparse',
          severity: 'remark',
          message: `${kept.length} weights of the templates are stored without their zeros; the cycles of reading their indices are assumed, a gain in time is unproven`,
        });
      return { ...program, mapping };
    }
  },
});

/** Searches with tiles taken to be as full as their weights, then as full as the fullest one was; the last one stores all zeros. */
const ROUNDS = 3;

/** Whether a core holds more than the search took it to. */
function isTooFull({ mapping, stages, mode, target }: With<'mapping' | 'stages'>): boolean {
  return mapping.groups.some(
    (group) => mapMemory(heldBy(group, stages, mapping.programs), mode.batch, target).peakBytes > target.sramBytes,
  );
}

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
