/**
 * Placement, recomputed from regions, programs and target alone; shares no code with the placers.
 *
 * P1: a region is a rectangle of whole cores inside the fabric, columns and rows that it skips included
 * P2: no two of these rectangles share a core
 * P3: no region covers a core that must not be used
 * P4: every stage is in exactly one region, and no other stages are
 * P5: a region has the shape of the program of each of its stages
 * P6: region i holds the stages of group i, in order
 * P7: the same regions, moved by the offset of each replica, hold P1, P2 and P3 too
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Region, With } from '../ir/facts.ts';
import { passingOver } from './fabric-owners.ts';

export type PlacedProgram = Pick<
  With<'stages' | 'mapping' | 'placement'>,
  'target' | 'stages' | 'mapping' | 'placement'
>;

/** Everything that is wrong with the placement; empty when it holds. */
export function verifyPlacement(program: PlacedProgram): Diagnostic[] {
  return [
    ...verifyRectangles(program),
    ...verifyDisjoint(program),
    ...verifyStages(program),
    ...verifyShapes(program),
    ...verifyGroups(program),
    ...verifyReplicas(program),
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

/** Columns and rows of the fabric that a region uses, and the rectangle from the first to the last of them. */
function groundOf(region: Region): {
  readonly columns: readonly number[];
  readonly rows: readonly number[];
  readonly box: Omit<Region, 'stages'>;
} {
  const columns = passingOver(region.x, region.width, region.skippedColumns ?? []);
  const rows = passingOver(region.y, region.height, region.skippedRows ?? []);
  const { x, y } = region;
  const box = { x, y, width: columns[columns.length - 1] - x + 1, height: rows[rows.length - 1] - y + 1 };
  return { columns, rows, box };
}

/** The rectangle from the first to the last core of a region, what it skips included. */
const boxOf = (region: Region): Omit<Region, 'stages'> =>
  (region.skippedColumns ?? region.skippedRows) === undefined ? region : groundOf(region).box;

function verifyRectangles({ target, placement }: Pick<PlacedProgram, 'target' | 'placement'>): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const [i, r] of placement.regions.entries()) {
    const whole = [r.x, r.y, r.width, r.height].every(Number.isInteger) && r.width > 0 && r.height > 0;
    const fits = whole && r.width <= target.width && r.height <= target.height;
    const { columns, rows, box } = fits ? groundOf(r) : { columns: [], rows: [], box: r };
    if (!fits || r.x < 0 || r.y < 0 || box.x + box.width > target.width || box.y + box.height > target.height) {
      found.push(broken('P1', `region ${i} is not inside the ${target.width} x ${target.height} fabric`, cores(box)));
      continue;
    }
    for (const d of target.defects) {
      const [left, right] = [columns.find((c) => c >= d.x), columns.findLast((c) => c < d.x + d.width)];
      const [top, bottom] = [rows.find((c) => c >= d.y), rows.findLast((c) => c < d.y + d.height)];
      if (left === undefined || right === undefined || top === undefined || bottom === undefined) continue;
      if (left <= right && top <= bottom) {
        const shared = { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
        found.push(broken('P3', `region ${i} covers cores that must not be used`, cores(shared)));
        // One is enough for a region: a plan for another machine has thousands.
        break;
      }
    }
  }
  return found;
}

/** Findings of one kind that are told; one overlap mostly means many. */
const MOST_TOLD = 20;

interface Shared {
  /** Positions in the list, the smaller one first. */
  readonly pair: readonly [number, number];
  /** The first core that both have. */
  readonly x: number;
  readonly y: number;
}

/** Rectangles put on the fabric one by one; of each, the first core that is taken. Those outside are P1's. */
function* sharedCores(
  rects: Iterable<Omit<Region, 'stages'>>,
  { width, height }: PlacedProgram['target'],
): Generator<Shared> {
  const owner = new Int32Array(width * height);
  let i = 0;
  for (const rect of rects) {
    i++;
    if (![rect.x, rect.y, rect.width, rect.height].every(Number.isInteger)) continue;
    if (rect.x < 0 || rect.y < 0 || rect.x + rect.width > width || rect.y + rect.height > height) continue;
    const taken = firstTaken(rect, owner, width);
    if (taken >= 0) yield { pair: [owner[taken] - 1, i - 1], x: taken % width, y: Math.floor(taken / width) };
    else
      for (let y = rect.y; y < rect.y + rect.height; y++)
        owner.fill(i, y * width + rect.x, y * width + rect.x + rect.width);
  }
}

function firstTaken(rect: Omit<Region, 'stages'>, owner: Int32Array, width: number): number {
  for (let y = rect.y; y < rect.y + rect.height; y++)
    for (let at = y * width + rect.x; at < y * width + rect.x + rect.width; at++) if (owner[at] !== 0) return at;
  return -1;
}

function verifyDisjoint({ target, placement: { regions } }: PlacedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const { pair, x, y } of sharedCores(regions.map(boxOf), target)) {
    found.push(broken('P2', `regions ${pair[0]} and ${pair[1]} share cores`, `core (${x},${y})`));
    if (found.length === MOST_TOLD) break;
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

/** One finding a replica is enough: what is wrong with one of its regions is wrong with its offset. */
function verifyReplicas({ target, placement: { regions, replicas = [] } }: PlacedProgram): Diagnostic[] {
  const found: Diagnostic[] = [];
  const copyOf = ({ x, y }: { readonly x: number; readonly y: number }): Region[] =>
    regions.map((r) => ({
      ...r,
      x: r.x + x,
      y: r.y + y,
      ...(r.skippedColumns === undefined ? {} : { skippedColumns: r.skippedColumns.map((c) => c + x) }),
      ...(r.skippedRows === undefined ? {} : { skippedRows: r.skippedRows.map((c) => c + y) }),
    }));
  for (const [k, offset] of replicas.entries()) {
    const [first] = verifyRectangles({ target, placement: { regions: copyOf(offset) } });
    if (first !== undefined) found.push(broken('P7', `replica ${k}: ${first.message}`, first.where));
    if (found.length === MOST_TOLD) return found;
  }
  function* all(): Generator<Omit<Region, 'stages'>> {
    for (const offset of [{ x: 0, y: 0 }, ...replicas]) yield* copyOf(offset).map(boxOf);
  }
  const named = (rect: number): string => {
    const copy = Math.floor(rect / regions.length);
    return copy === 0 ? 'the first copy' : `replica ${copy - 1}`;
  };
  for (const { pair, x, y } of sharedCores(all(), target)) {
    const [a, b] = pair.map(named);
    if (a === b) continue;
    return [...found, broken('P7', `${a} and ${b} share cores`, `core (${x},${y})`)];
  }
  return found;
}
