/** What the tables of a plan must say beyond their form: they agree with each other and with the programs. */
import { show } from '../diag/schema-findings.ts';
import { elementCount } from '../ir/constant.ts';
import { parseDim, symbolsOf } from '../ir/dim.ts';
import { bytesFor } from '../ir/types.ts';
import { weightBytes } from './coded-tiles.ts';
import { checkRouting } from './check-routing.ts';
import type { Findings } from './findings.ts';
import type { Blob, Plan, PlanIo, PlanStage } from './types.ts';

const KNOWN_SYMBOLS: ReadonlySet<string> = new Set(['B', 'S', 'P']);

/** Adds to `found` what is wrong with stages, regions, schedule, memory and blobs. The programs hold. */
export function checkTables(plan: Plan, found: Findings): void {
  const names = new Set<string>();
  const listed = plan.regions.map((region) => new Set(region.stages));
  for (const [i, stage] of plan.stages.entries()) {
    checkStage(stage, i, { plan, names, listed }, found);
    names.add(stage.name);
  }
  checkRegions(plan, found);
  checkRouting(plan, found);
  checkSchedule(plan, found);
  checkBlobs(plan, found);
  checkInputs(plan.inputs, found);
}

interface Seen {
  readonly plan: Plan;
  /** Of the stages before. */
  readonly names: ReadonlySet<string>;
  /** By region: the stages that it lists. */
  readonly listed: readonly ReadonlySet<number>[];
}

function checkStage(stage: PlanStage, i: number, { plan, names, listed }: Seen, found: Findings): void {
  const { templates } = plan;
  const path = `/stages/${i}`;
  if (names.has(stage.name))
    found.add('plan/range', `${path}/name`, `expected a name of its own, found ${show(stage.name)} again`);
  if (found.index(`${path}/region`, stage.region, listed.length, 'regions') && !listed[stage.region].has(i))
    found.add('plan/index', `${path}/region`, `expected the region that lists stage ${i}, found ${stage.region}`);
  if (!found.index(`${path}/template`, stage.template, templates.length, 'templates')) return;
  const { program } = templates[stage.template];
  found.count(`${path}/inputs`, stage.inputs.length, program.inputs.length, "the program's inputs");
  found.count(`${path}/outputs`, stage.outputs.length, program.outputs.length, "the program's outputs");
  found.count(`${path}/values`, stage.values.length, program.results.length, "the program's results");
  if (!found.count(`${path}/weights`, stage.weights.length, program.weights.length, "the program's weights")) return;
  for (const [w, blob] of stage.weights.entries()) {
    const tensor = program.tensors[program.weights[w]];
    if (blob.dtype !== tensor.dtype || elementCount(blob.shape) !== elementCount(tensor.shape))
      found.add(
        'plan/blob',
        `${path}/weights/${w}`,
        `expected the elements of ${tensor.dtype}[${tensor.shape}] of the program, found ${blob.dtype}[${blob.shape}]`,
      );
  }
}

function checkRegions({ regions, stages, memory }: Plan, found: Findings): void {
  for (const [r, region] of regions.entries())
    for (const [k, s] of region.stages.entries()) found.index(`/regions/${r}/stages/${k}`, s, stages.length, 'stages');
  for (const [r, region] of regions.entries())
    for (const key of ['skippedColumns', 'skippedRows'] as const) {
      const at = region[key]?.findIndex((n, i, list) => i > 0 && n <= list[i - 1]) ?? -1;
      if (at > 0)
        found.add(
          'plan/range',
          `/regions/${r}/${key}/${at}`,
          `expected more than the one before, found ${region[key]?.[at]}`,
        );
    }
  found.count('/memory', memory.length, regions.length, 'the regions');
  for (const [m, { buffers }] of memory.entries())
    for (const [b, { live }] of buffers.entries())
      if (live[0] > live[1])
        found.add(
          'plan/range',
          `/memory/${m}/buffers/${b}/live`,
          `expected first <= last, found ${live[0]}, ${live[1]}`,
        );
}

function checkSchedule({ templates, stages, regions, schedule }: Plan, found: Findings): void {
  found.count('/schedule/joined', schedule.joined.length, stages.length, 'the stages');
  found.count('/schedule/perTemplate', schedule.perTemplate.length, templates.length, 'the templates');
  let ops = 0;
  for (const [t, list] of schedule.perTemplate.entries()) {
    if (t >= templates.length) break;
    const path = `/schedule/perTemplate/${t}`;
    const expected = templates[t].program.ops.length;
    found.count(path, list.length, expected, "the program's ops");
    const seen = new Set<number>();
    for (const [i, { op }] of list.entries()) {
      if (found.index(`${path}/${i}/op`, op, expected, 'ops') && seen.has(op))
        found.add('plan/index', `${path}/${i}/op`, `expected every op once, found ${op} again`);
      seen.add(op);
    }
    ops += expected;
  }
  if (ops === 0) found.add('plan/count', '/templates', 'expected at least one op in the programs, found none');
  for (const [i, { from, to }] of schedule.sends.entries()) {
    found.index(`/schedule/sends/${i}/from`, from, regions.length, 'regions');
    found.index(`/schedule/sends/${i}/to`, to, regions.length, 'regions');
  }
}

/** Blobs lie in weights.bin side by side, each as long as its elements. */
function checkBlobs({ stages, templates, host, weights }: Plan, found: Findings): void {
  /** Coded weights are longer than their codes. */
  const coded = new Map<Blob, number>();
  /** How long a sparse one is, only its tiles say. */
  const sparse = new Set<Blob>();
  for (const { weights: blobs, template } of stages) {
    const program = templates[template]?.program;
    for (const [w, blob] of blobs.entries()) {
      const tensor = program?.tensors[program.weights[w]];
      if (tensor?.sparsity !== undefined) sparse.add(blob);
      else if (program !== undefined && tensor?.coding !== undefined)
        coded.set(blob, weightBytes(tensor, program.shape));
    }
  }
  const all: [path: string, blob: Blob][] = [
    ...stages.flatMap((s, i) => s.weights.map((b, w): [string, Blob] => [`/stages/${i}/weights/${w}`, b])),
    ...host.constants.map((b, i): [string, Blob] => [`/host/constants/${i}`, b]),
  ];
  for (const [path, blob] of all) {
    const { shape, dtype, bytes, offset, sha256 } = blob;
    const expected = coded.get(blob) ?? bytesFor(dtype, elementCount(shape));
    if (bytes !== expected && !sparse.has(blob))
      found.add('plan/blob', `${path}/bytes`, `expected the ${expected} of ${dtype}[${shape}], found ${bytes}`);
    if (offset + bytes > weights.bytes)
      found.add(
        'plan/blob',
        path,
        `expected a range inside the ${weights.bytes} bytes of weights.bin, found ${offset}..${offset + bytes}`,
      );
    if ((sha256 === null) !== (weights.sha256 === null))
      found.add(
        'plan/blob',
        `${path}/sha256`,
        `expected ${weights.sha256 === null ? 'null' : 'a digest'} as for the whole file, found ${show(sha256)}`,
      );
  }
  const order = all.filter(([, { bytes }]) => bytes > 0).sort(([, a], [, b]) => a.offset - b.offset);
  for (let i = 1; i < order.length; i++) {
    const [[before, a], [path, b]] = [order[i - 1], order[i]];
    if (b.offset < a.offset + a.bytes)
      found.add(
        'plan/blob',
        `${path}/offset`,
        `expected at least ${a.offset + a.bytes}, where ${before} ends, found ${b.offset}`,
      );
  }
}

/** What feeds are made from: every dim of an input is known once B, S and P are. */
function checkInputs(inputs: readonly PlanIo[], found: Findings): void {
  for (const [i, { shape }] of inputs.entries())
    for (const [d, dim] of shape.entries()) {
      if (typeof dim === 'number' || symbolsOf(parseDim(dim)).every((s) => KNOWN_SYMBOLS.has(s))) continue;
      found.add('plan/range', `/inputs/${i}/shape/${d}`, `expected an expression of B, S and P, found ${show(dim)}`);
    }
}
