/**
 * A plan on paper: stages, placement, fit, routes and schedule from plan.json, and weights.bin against its digests.
 *
 * W1: weights.bin is there, unless the plan was made without weights
 * W2: it has the length that the plan states
 * W3: every blob has its SHA-256
 * W4: the whole file has its SHA-256
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Memory } from '../ir/facts.ts';
import { parseGraph } from '../ir/parse.ts';
import type { Blob, Plan } from '../plan/types.ts';
import { verifyFit } from './fit.ts';
import type { RoutedProgram } from './routed.ts';
import { verifyRouting } from './routing.ts';
import { verifyLayouts } from './layouts.ts';
import { verifyLinks } from './links.ts';
import { verifyPlacement } from './placement.ts';
import { verifyTime } from './time.ts';

/** Bytes of weights.bin in memory at once. */
const CHUNK_BYTES = 8 * 2 ** 20;

export interface PlanCheckOptions {
  /** False: weights.bin is not read, only its length is compared. */
  readonly hashes: boolean;
}

/** Everything that is wrong with the plan in `folder`; empty when it holds. */
export function checkPlan(plan: Plan, folder: string, { hashes }: PlanCheckOptions = { hashes: true }): Diagnostic[] {
  const facts = factsOf(plan);
  const placed = [...verifyPlacement(facts), ...verifyFit(facts)];
  // Routes are walked over regions that hold.
  const routed = placed.length === 0 ? [...verifyRouting(facts), ...verifyTime(facts)] : [];
  return [
    ...verifyLinks(plan),
    ...verifyLayouts(plan.templates),
    ...placed,
    ...routed,
    ...verifyFile(plan, join(folder, 'weights.bin'), hashes),
  ];
}

type Facts = RoutedProgram & { readonly memory: Memory };

/** The plan as the facts that verifiers take; a plan has no graph, so stages have no ops and values. */
function factsOf(plan: Plan): Facts {
  const none = { ops: [], inputs: [], outputs: [], weights: [] };
  return {
    target: plan.target,
    mode: plan.mode,
    stages: {
      host: [],
      stages: plan.stages.map(({ name, template }) => ({ name, template, ...none })),
      templates: plan.templates.map(({ name }, t) => ({
        name,
        exemplar: plan.stages.findIndex(({ template }) => template === t),
      })),
    },
    mapping: {
      programs: plan.templates.map(({ program }) => program),
      // Stages say in which region they are; regions say which stages they hold. P6 compares the two.
      groups: plan.regions.map((_, r) => [...plan.stages.keys()].filter((s) => plan.stages[s].region === r)),
    },
    placement: { regions: plan.regions, replicas: plan.replicas },
    memory: { maps: plan.memory },
    routing: plan.routing,
    schedule: plan.schedule,
    values: valuesOf(plan),
  };
}

/** What stages hand over; the host takes the model's outputs, and what its graph after the wafer reads. */
function valuesOf({ stages, templates, outputs, host }: Plan): RoutedProgram['values'] {
  const after = parseGraph(host.after);
  return {
    stages: stages.map((stage) => {
      const { program } = templates[stage.template];
      return {
        inputs: stage.inputs.map((name, i) => (program.inputs[i] === null ? null : name)),
        outputs: stage.outputs.map((name, i) => (program.outputs[i] === null ? null : name)),
      };
    }),
    results: new Set([...outputs.map(({ name }) => name), ...after.inputs.map((v) => after.names[v])]),
  };
}

const broken = (rule: string, message: string): Diagnostic => ({
  code: `verify/${rule}`,
  severity: 'error',
  message,
  where: 'weights.bin',
});

interface NamedBlob {
  readonly blob: Blob;
  readonly what: string;
}

const blobsOf = ({ stages, host }: Plan): NamedBlob[] => [
  ...stages.flatMap((stage) =>
    stage.weights.map((blob) => ({ blob, what: `weight ${blob.name} of stage ${stage.name}` })),
  ),
  ...host.constants.map((blob) => ({ blob, what: `constant ${blob.name} of the host` })),
];

function verifyFile(plan: Plan, path: string, hashes: boolean): Diagnostic[] {
  const blobs = blobsOf(plan);
  const { bytes, sha256 } = plan.weights;
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile()) {
    if (sha256 === null && blobs.every(({ blob }) => blob.sha256 === null)) return [];
    return [broken('W1', `expected a file of ${bytes} bytes at ${path}, found none`)];
  }
  if (stat.size !== bytes) return [broken('W2', `expected ${bytes} bytes in ${path}, found ${stat.size}`)];
  return hashes ? verifyDigests(plan, blobs, path) : [];
}

/** One pass over the file in order of offsets; bytes between blobs count for the whole only. */
function verifyDigests({ weights }: Plan, blobs: readonly NamedBlob[], path: string): Diagnostic[] {
  const found: Diagnostic[] = [];
  const whole = createHash('sha256');
  const fd = openSync(path, 'r');
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(1, weights.bytes)));
  let at = 0;
  /** Feeds bytes up to `end` to the hashes; a file that shrinks meanwhile ends the feeding. */
  const feed = (end: number, hashes: readonly Hash[]): void => {
    while (at < end) {
      const got = readSync(fd, chunk, 0, Math.min(chunk.length, end - at), at);
      if (got === 0) break;
      for (const hash of hashes) hash.update(chunk.subarray(0, got));
      at += got;
    }
  };
  try {
    for (const { blob, what } of [...blobs].sort((a, b) => a.blob.offset - b.blob.offset)) {
      feed(blob.offset, [whole]);
      const own = createHash('sha256');
      feed(blob.offset + blob.bytes, [whole, own]);
      found.push(...compare('W3', what, blob.sha256, own.digest('hex')));
    }
    feed(weights.bytes, [whole]);
  } finally {
    closeSync(fd);
  }
  return [...found, ...compare('W4', 'the whole file', weights.sha256, whole.digest('hex'))];
}

function compare(rule: string, what: string, expected: string | null, found: string): Diagnostic[] {
  if (expected === found) return [];
  const stated = expected === null ? 'no SHA-256 in the plan' : `SHA-256 ${expected}`;
  return [broken(rule, `${what}: ${stated}, found ${found}`)];
}
