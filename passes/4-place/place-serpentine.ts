/**
 * place-serpentine: regions on the fabric, consecutive ones touching where shelves hold them all.
 *
 * Before  fact `mapping`.
 * After   fact `placement`: a rectangle per stage group, inside the fabric, disjoint, clear of defects; the offsets of
 *         further copies of the model.
 * Skips   nothing: choose-regions only passes on what fits.
 */
import { fail } from '../../src/diag/diagnostic.ts';
import { definePass } from '../../src/pass/pass.ts';
import { usableCores } from '../../src/target/cores.ts';
import { blockOf, placeRegions, replicasOf } from '../../src/place/regions.ts';

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
    const copies = mapping.copies ?? { columns: 1, rows: 1 };
    const placed = placeRegions(sizes, blockOf(target, copies));
    const cores = sizes.reduce((n, { width, height }) => n + width * height, 0);
    if (placed === undefined)
      fail({
        code: 'fit/fabric',
        message: `${sizes.length} regions of ${cores} cores do not fit the ${usableCores(target)} usable cores of ${target.name}`,
      });
    const regions = placed.map((rect, i) => ({ stages: mapping.groups[i], ...rect }));
    const replicas = replicasOf(regions, target, copies);
    count('cores used', cores * (1 + replicas.length));
    count('replicas', replicas.length);
    return { ...program, placement: { regions, ...(replicas.length > 0 ? { replicas } : {}) } };
  },
});
