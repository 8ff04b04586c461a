/** The list of every op. A family file exports `ops`; an op that is not in one of them does not exist for wafc. */
import * as activation from './activation.ts';
import * as alongAxis from './along-axis.ts';
import * as attention from './attention.ts';
import * as cast from './cast.ts';
import * as controlFlow from './control-flow.ts';
import * as gatherScatter from './gather-scatter.ts';
import * as generate from './generate.ts';
import * as logic from './logic.ts';
import * as mathBinary from './math-binary.ts';
import * as mathUnary from './math-unary.ts';
import * as mathVariadic from './math-variadic.ts';
import * as matmul from './matmul.ts';
import * as einsum from './einsum.ts';
import * as microsoft from './microsoft.ts';
import * as quantize from './quantize.ts';
import * as conv from './conv.ts';
import * as pool from './pool.ts';
import * as quantizeMatmul from './quantize-matmul.ts';
import * as norm from './norm.ts';
import * as normChannel from './norm-channel.ts';
import { kindOf, type OpDef } from './op.ts';
import * as reduce from './reduce.ts';
import * as rotary from './rotary.ts';
import * as view from './view.ts';
import * as wafc from './wafc.ts';

const FAMILIES: readonly (readonly OpDef[])[] = [
  view.ops,
  gatherScatter.ops,
  generate.ops,
  controlFlow.ops,
  mathUnary.ops,
  mathBinary.ops,
  mathVariadic.ops,
  logic.ops,
  cast.ops,
  activation.ops,
  reduce.ops,
  einsum.ops,
  matmul.ops,
  alongAxis.ops,
  norm.ops,
  normChannel.ops,
  attention.ops,
  rotary.ops,
  microsoft.ops,
  quantize.ops,
  conv.ops,
  pool.ops,
  quantizeMatmul.ops,
  wafc.ops,
];

function index(): ReadonlyMap<string, OpDef> {
  const out = new Map<string, OpDef>();
  for (const def of FAMILIES.flat()) {
    const kind = kindOf(def.domain, def.name);
    if (out.has(kind)) throw new Error(`op ${kind} is defined twice`);
    out.set(kind, def);
  }
  return out;
}

const byKind = index();

/** The definition of `kind` (`Add`, `com.microsoft.Gelu`, `wafc.linear`), if wafc has it. */
export const opFor = (kind: string): OpDef | undefined => byKind.get(kind);

/** Every op, sorted by kind. */
export const allOps = (): readonly OpDef[] => [...byKind].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, def]) => def);

/**
 * Up to three registered kinds whose spelling is close to `kind`, or starts with it, best first; ties in alphabetical
 * order. wafc's own ops are no answer to a name from a model file.
 */
export function nearestOps(kind: string): readonly string[] {
  const bare = (k: string) => k.slice(k.lastIndexOf('.') + 1).toLowerCase();
  const wanted = bare(kind);
  return [...byKind.keys()]
    .filter((k) => !k.startsWith('wafc.') || kind.startsWith('wafc.'))
    .map((k) => ({ k, edits: distance(wanted, bare(k)) }))
    .filter(({ edits }) => edits <= Math.max(1, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.edits - b.edits || (a.k < b.k ? -1 : 1))
    .slice(0, 3)
    .map(({ k }) => k);
}

/** A longer name that starts as the wanted one is near. */
const distance = (wanted: string, name: string): number =>
  wanted.length > 3 && name !== wanted && name.startsWith(wanted) ? 1 : editDistance(wanted, name);

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
