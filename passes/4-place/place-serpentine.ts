/**
 * place-serpentine: regions on the fabric, consecutive ones touching.
 *
 * Before  fact `mapping`.
 * After   fact `placement`: a rectangle per stage group, inside the fabric, disjoint, clear of defects.
 * Skips   nothing: choose-regions only passes on what fits.
 */
import { fail } from '../../src/diag/diagnostic.ts';
import { definePass } from '../../src/pass/pass.ts';
import { placeSerpentine } from '../../src/place/serpentine.ts';

export default definePass({
  name: 'place-serpentine',
  summary: 'put regions on the fabric, row by row in alternating directions',
  requires: ['stages', 'mapping'],
  provides: ['placement'],
  preserves: ['stages', 'mapping'],
  numerics: 'exact',
  options: {},
  run(program, { count }) {
    const { stages, mapping, target } = program;
    const sizes = mapping.groups.map((g) => mapping.programs[stages.stages[g[0]].template].shape);
    const placed = placeSerpentine(sizes, target);
    if (!placed.fits)
      fail({
        code: 'fit/fabric',
        message: `${sizes.length} regions of ${placed.need} cores do not fit the ${placed.have} usable cores of ${target.name}`,
      });
    count(
      'cores used',
      sizes.reduce((n, { width, height }) => n + width * height, 0),
    );
    const regions = placed.regions.map((rect, i) => ({
      stages: mapping.groups[i],
      ...rect,
      width: sizes[i].width,
      height: sizes[i].height,
    }));
    return { ...program, placement: { regions } };
  },
});
