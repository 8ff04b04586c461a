/**
 * Regions on a fabric with scattered defects: shelves as in serpentine.ts, but a region may pass over columns and rows
 * that hold defects. Where routers of defects forward messages, each defect costs a column or a row, the one that rids the region of
 * more; where they do not, it costs both, since no line of the region may cross it. A region moves on past defects where that takes it
 * less far.
 */
import type { Target } from '../ir/target.ts';
import type { Size } from './serpentine.ts';

/** A region's place: its own columns and rows are the first ones from (x, y) on that are not skipped. */
export interface Spot extends Size {
  readonly x: number;
  readonly y: number;
  readonly skippedColumns?: readonly number[];
  readonly skippedRows?: readonly number[];
}

type Fabric = Pick<Target, 'width' | 'height' | 'defects' | 'defectsForward'>;

/** Defects of a fabric, counted so that those in a rectangle are known at once. */
class DefectTable {
  readonly width: number;
  readonly height: number;
  readonly forward: boolean;
  private readonly dead: Uint8Array;
  /** Defects in columns before x and rows before y. */
  private readonly sums: Int32Array;

  constructor({ width, height, defects, defectsForward }: Fabric) {
    this.width = width;
    this.height = height;
    this.forward = defectsForward === true;
    this.dead = new Uint8Array(width * height);
    for (const d of defects)
      for (let y = d.y; y < Math.min(height, d.y + d.height); y++)
        this.dead.fill(1, y * width + d.x, y * width + Math.min(width, d.x + d.width));
    this.sums = new Int32Array((width + 1) * (height + 1));
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        this.sums[(y + 1) * (width + 1) + x + 1] =
          this.dead[y * width + x] + this.sum(x, y + 1) + this.sum(x + 1, y) - this.sum(x, y);
  }

  private sum(x: number, y: number): number {
    return this.sums[y * (this.width + 1) + x];
  }
  /** Defects in a rectangle inside the fabric. */
  count(x: number, y: number, width: number, height: number): number {
    return this.sum(x + width, y + height) - this.sum(x, y + height) - this.sum(x + width, y) + this.sum(x, y);
  }
  /** Defects of a rectangle, by row. */
  cells(x: number, y: number, width: number, height: number): { readonly x: number; readonly y: number }[] {
    const found: { x: number; y: number }[] = [];
    for (let r = y; r < y + height; r++) {
      if (this.count(x, r, width, 1) === 0) continue;
      for (let c = x; c < x + width; c++) if (this.dead[r * this.width + c] === 1) found.push({ x: c, y: r });
    }
    return found;
  }
}

const tables = new WeakMap<readonly unknown[], DefectTable>();

function tableOf(fabric: Fabric): DefectTable {
  const known = tables.get(fabric.defects);
  if (known !== undefined && known.width === fabric.width && known.height === fabric.height) return known;
  const table = new DefectTable(fabric);
  tables.set(fabric.defects, table);
  return table;
}

/** A place for every size, in order; undefined when one finds none. */
export function placeAround(sizes: readonly Size[], fabric: Fabric): Spot[] | undefined {
  const table = tableOf(fabric);
  const spots: Spot[] = [];
  let leftward = false;
  for (let y = 0; spots.length < sizes.length; ) {
    if (y >= fabric.height) return undefined;
    const shelf = fillShelf(sizes.slice(spots.length), table, y, leftward);
    if (shelf.spots.length === 0) {
      y++;
      continue;
    }
    spots.push(...shelf.spots);
    y += shelf.height;
    leftward = !leftward;
  }
  return spots;
}

function fillShelf(
  sizes: readonly Size[],
  table: DefectTable,
  y: number,
  leftward: boolean,
): { readonly spots: readonly Spot[]; readonly height: number } {
  const spots: Spot[] = [];
  let at = leftward ? table.width : 0;
  let height = 0;
  for (const size of sizes) {
    const box = nearer(passingOver(at, y, size, table, leftward), movedOn(at, y, size, table, leftward), leftward);
    if (box === undefined) break;
    spots.push(box.spot);
    at = leftward ? box.x : box.x + box.width;
    height = Math.max(height, box.height);
  }
  return { spots, height };
}

/** A spot, and the rectangle of the fabric it takes. */
interface Box extends Size {
  readonly x: number;
  readonly spot: Spot;
}

/** The box that ends first along the shelf; the first of equals. */
function nearer(a: Box | undefined, b: Box | undefined, leftward: boolean): Box | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const end = ({ x, width }: Box): number => (leftward ? -x : x + width);
  return end(b) < end(a) ? b : a;
}

/** The nearest rectangle without defects. */
function movedOn(
  at: number,
  y: number,
  { width, height }: Size,
  table: DefectTable,
  leftward: boolean,
): Box | undefined {
  if (y + height > table.height) return undefined;
  const step = leftward ? -1 : 1;
  for (let x = leftward ? at - width : at; x >= 0 && x + width <= table.width; x += step)
    if (table.count(x, y, width, height) === 0) return { x, width, height, spot: { x, y, width, height } };
  return undefined;
}

/** From column `at` on, over columns and rows with defects: the rectangle grows until enough is left of it. */
function passingOver(
  at: number,
  y: number,
  { width, height }: Size,
  table: DefectTable,
  leftward: boolean,
): Box | undefined {
  let [wide, high] = [width, height];
  for (;;) {
    const x = leftward ? at - wide : at;
    if (x < 0 || x + wide > table.width || y + high > table.height) return undefined;
    const { columns, rows } = cover(table.cells(x, y, wide, high), table.forward);
    const [shortWidth, shortHeight] = [width - (wide - columns.size), height - (high - rows.size)];
    if (shortWidth <= 0 && shortHeight <= 0) {
      const kept = taken(x, wide, columns, width, leftward);
      const keptRows = taken(y, high, rows, height, false);
      return {
        x: kept.first,
        width: kept.last - kept.first + 1,
        height: keptRows.last - y + 1,
        spot: {
          x: kept.first,
          y: keptRows.first,
          width,
          height,
          ...(kept.skipped.length === 0 ? {} : { skippedColumns: kept.skipped }),
          ...(keptRows.skipped.length === 0 ? {} : { skippedRows: keptRows.skipped }),
        },
      };
    }
    wide += Math.max(0, shortWidth);
    high += Math.max(0, shortHeight);
  }
}

/** The `count` numbers nearest to the shelf's end that are left, and those skipped between them. */
function taken(
  start: number,
  length: number,
  skipped: ReadonlySet<number>,
  count: number,
  fromEnd: boolean,
): { readonly first: number; readonly last: number; readonly skipped: readonly number[] } {
  const left = Array.from({ length }, (_, i) => start + i).filter((n) => !skipped.has(n));
  const own = fromEnd ? left.slice(-count) : left.slice(0, count);
  const [first, last] = [own[0], own[own.length - 1]];
  return { first, last, skipped: [...skipped].filter((n) => n > first && n < last).sort((a, b) => a - b) };
}

/**
 * Columns and rows without which no defect is left: both of each where routers do not forward; else greedily the line with
 * most defects, columns first among equals.
 */
function cover(
  cells: readonly { readonly x: number; readonly y: number }[],
  forward: boolean,
): { readonly columns: Set<number>; readonly rows: Set<number> } {
  if (!forward) return { columns: new Set(cells.map((c) => c.x)), rows: new Set(cells.map((c) => c.y)) };
  const [columns, rows] = [new Set<number>(), new Set<number>()];
  let open = cells;
  while (open.length > 0) {
    const most = (key: 'x' | 'y'): readonly [line: number, count: number] => {
      const counts = new Map<number, number>();
      for (const cell of open) counts.set(cell[key], (counts.get(cell[key]) ?? 0) + 1);
      return [...counts].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a));
    };
    const [column, row] = [most('x'), most('y')];
    if (column[1] >= row[1]) columns.add(column[0]);
    else rows.add(row[0]);
    open = open.filter((c) => !columns.has(c.x) && !rows.has(c.y));
  }
  return { columns, rows };
}
