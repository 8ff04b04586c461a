/**
 * Placement, recomputed from regions, programs and target alone; shares no code with the placers.
 *
 * P1: a region is a rectangle of whole cores inside the fabric
 * P2: no two regions share a core
 * P3: no region covers a core that must not be used
 * P4: every stage is in exactly one region, and no other stages are
 * P5: a region has the shape of the program of each of its stages
 * P6: region i holds the stages of group i, in order
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Region, With } from '../ir/facts.ts';

export type PlacedProgram = Pick<
  With<'stages' | 'mapping' | 'placement'>,
  'target' | 'stages' | 'mapping' | 'placement'
>;

/** Everything that is wrong with the placement; empty when it holds. */
export function verifyPlacement(program: PlacedProgram): Diagnostic[] {
  return [
    ...verifyRectangles(program),
    ...verifyDisjoint(program.placement.regions),
    ...verifyStages(program),
    ...verifyShapes(program),
    ...verifyGroups(program),
  ];
}

const broken = (rule: string, message: string, where?: string): Diagnostic => ({
  code: `verify/${rule}`,
  severity: 'error',
  message,
  ...(where === undefined ? {} : { where }),
});

const cores = (r: Omit<Region, 'stages'>): string =>
  `cores (${r.x},${r.y})..(${r.x + r.width - 1},${r.y + r.height - 1})`;

function verifyRectangles({ target, placement }: PlacedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const [i, r] of placement.regions.entries()) {
    const whole = [r.x, r.y, r.width, r.height].every(Number.isInteger) && r.width > 0 && r.height > 0;
    if (!whole || r.x < 0 || r.y < 0 || r.x + r.width > target.width || r.y + r.height > target.height) {
      found.push(broken('P1', `region ${i} is not inside the ${target.width} x ${target.height} fabric`, cores(r)));
      continue;
    }
    for (const d of target.defects) {
      const [left, right] = [Math.max(r.x, d.x), Math.min(r.x + r.width, d.x + d.width)];
      const [top, bottom] = [Math.max(r.y, d.y), Math.min(r.y + r.height, d.y + d.height)];
      if (left < right && top < bottom) {
        const shared = { x: left, y: top, width: right - left, height: bottom - top };
        found.push(broken('P3', `region ${i} covers cores that must not be used`, cores(shared)));
      }
    }
  }
  return found;
}

/** Regions by first row: one can only meet those that start before it ends. */
function verifyDisjoint(regions: readonly Region[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  const order = [...regions.keys()].sort((a, b) => regions[a].y - regions[b].y || a - b);
  for (const [at, i] of order.entries()) {
    const a = regions[i];
    for (const j of order.slice(at + 1)) {
      const b = regions[j];
      if (b.y >= a.y + a.height) break;
      if (b.y + b.height > a.y && a.x < b.x + b.width && b.x < a.x + a.width) {
        const [x, y] = [Math.max(a.x, b.x), Math.max(a.y, b.y)];
        const width = Math.min(a.x + a.width, b.x + b.width) - x;
        const height = Math.min(a.y + a.height, b.y + b.height) - y;
        const [first, second] = i < j ? [i, j] : [j, i];
        found.push(broken('P2', `regions ${first} and ${second} share cores`, cores({ x, y, width, height })));
      }
    }
  }
  return found;
}

function verifyStages({ stages, placement }: PlacedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  const homes = stages.stages.map((): number[] => []);
  for (const [i, region] of placement.regions.entries())
    for (const s of region.stages) {
      if (homes[s] === undefined) found.push(broken('P4', `region ${i} holds stage ${s}, of ${homes.length}`));
      else homes[s].push(i);
    }
  for (const [s, at] of homes.entries())
    if (at.length !== 1) {
      const where = at.length === 0 ? 'no region' : `regions ${at.join(', ')}`;
      found.push(broken('P4', `stage ${stages.stages[s].name} is in ${where}, expected exactly one`));
    }
  return found;
}

function verifyShapes({ stages, mapping, placement }: PlacedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const [i, region] of placement.regions.entries())
    for (const s of region.stages) {
      const shape = mapping.programs[stages.stages[s]?.template]?.shape;
      if (shape === undefined || (shape.width === region.width && shape.height === region.height)) continue;
      const [is, want] = [`${region.width} x ${region.height}`, `${shape.width} x ${shape.height}`];
      found.push(broken('P5', `region ${i} is ${is}, the program of stage ${s} wants ${want}`, cores(region)));
    }
  return found;
}

function verifyGroups({ mapping, placement }: PlacedProgram): Diagnostic[] {
  const [want, is] = [mapping.groups.length, placement.regions.length];
  if (want !== is) return [broken('P6', `${is} regions, expected one for each of ${want} groups`)];
  return placement.regions.flatMap((region, i) => {
    const group = mapping.groups[i];
    const same = group.length === region.stages.length && group.every((s, k) => s === region.stages[k]);
    return same ? [] : [broken('P6', `region ${i} holds stages ${region.stages}, its group is ${group}`)];
  });
}
