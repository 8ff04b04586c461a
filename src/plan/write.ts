/** Writes a plan directory: weights.bin tile by tile, then plan.json with the digests. */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Diagnostic, Report } from '../diag/diagnostic.ts';
import { type Constant, isQuantized } from '../ir/constant.ts';
import type { ProgramTensor, RegionShape } from '../ir/program.ts';
import type { Progress } from '../util/progress.ts';
import { readPacked } from '../tensor/read.ts';
import type { Draft, PlannedBlob } from './build.ts';
import { hasNotFinite } from './finite.ts';
import { writeCodedTiles } from './coded-tiles.ts';
import { writeSparseTiles } from './sparse-tiles.ts';
import { type TileSink, writeTiles } from './tiles.ts';
import type { Blob, Plan } from './types.ts';

/**
 * Fills in digests while writing weights.bin into `folder`. Returns the finished plan. Weights that hold NaN or infinity
 * are reported: they would be in every token.
 */
export function writeWeights(
  { plan, stageBlobs, hostBlobs }: Draft,
  folder: string,
  progress: Progress,
  report?: Report,
): Plan {
  const fd = openSync(join(folder, 'weights.bin'), 'w+');
  const notFinite = new Set<string>();
  let zeroCount = 0;
  const sink: TileSink = {
    fd,
    hash: createHash('sha256'),
    see({ source, stored }, bytes) {
      if (hasNotFinite(stored, bytes)) notFinite.add(source.label);
    },
    zeros(count) {
      zeroCount += count;
    },
  };
  let at = 0;
  const pad = (to: number): void => {
    const zeros = new Uint8Array(to - at);
    if (zeros.length > 0) sink.hash.update(zeros);
    at = to;
  };
  try {
    ftruncateSync(fd, plan.weights.bytes);
    const written = (blob: Blob, sha256: string): Blob => {
      at = blob.offset + blob.bytes;
      progress.update(at, plan.weights.bytes, 'weights.bin');
      return { ...blob, sha256 };
    };
    const stages = plan.stages.map((stage, s) => {
      const { program } = plan.templates[stage.template];
      const weights = stageBlobs[s].map(({ blob, constant }, i) => {
        pad(blob.offset);
        const tensor = program.tensors[program.weights[i]];
        return written(blob, writeWeight(constant, tensor, program.shape, sink, blob.offset));
      });
      return { ...stage, weights };
    });
    const constants = hostBlobs.map((planned) => {
      pad(planned.blob.offset);
      return written(planned.blob, writeDense(planned, sink));
    });
    pad(plan.weights.bytes);
    progress.clear();
    for (const name of notFinite) report?.(notFiniteWarning(name));
    return {
      ...plan,
      stages,
      host: { ...plan.host, constants },
      weights: { bytes: plan.weights.bytes, sha256: sink.hash.digest('hex'), zeros: zeroCount },
    };
  } finally {
    closeSync(fd);
  }
}

/** Tiles of a weight as its tensor says that they are stored. */
function writeWeight(
  constant: Constant,
  tensor: ProgramTensor,
  region: RegionShape,
  sink: TileSink,
  offset: number,
): string {
  const { coding, sparsity } = tensor;
  if (sparsity !== undefined) return writeSparseTiles(constant, { ...tensor, sparsity }, region, sink, offset);
  if (coding !== undefined && isQuantized(constant))
    return writeCodedTiles(constant, { ...tensor, coding }, region, sink, offset);
  return writeTiles(constant, tensor, region, sink, offset);
}

const notFiniteWarning = (name: string): Diagnostic => ({
  code: 'compile/not-finite',
  severity: 'warning',
  message: `weight ${name}: expected finite numbers, found NaN or infinity`,
});

/** A host constant, row-major. */
function writeDense({ blob, constant }: PlannedBlob, sink: TileSink): string {
  const bytes = new Uint8Array(blob.bytes);
  readPacked(
    constant,
    constant.shape.map(() => 0),
    [...constant.shape],
    bytes,
  );
  writeSync(sink.fd, bytes, 0, bytes.length, blob.offset);
  sink.hash.update(bytes);
  return createHash('sha256').update(bytes).digest('hex');
}

/** plan.json: one line per entry of the long lists, so that two plans can be compared line by line. */
export function writePlanJson(plan: Plan, folder: string): void {
  writeFileSync(join(folder, 'plan.json'), printPlan(plan));
}

/** JSON with one array element or object field per line down to `depth` 3, deeper values on one line. */
export function printPlan(plan: Plan): string {
  const print = (value: unknown, depth: number, indent: string): string => {
    if (typeof value !== 'object' || value === null || depth === 0) return JSON.stringify(value);
    const inner = `${indent} `;
    if (Array.isArray(value)) {
      if (value.length === 0 || typeof value[0] !== 'object') return JSON.stringify(value);
      return `[\n${value.map((v) => inner + print(v, depth - 1, inner)).join(',\n')}\n${indent}]`;
    }
    const fields = Object.entries(value).filter(([, v]) => v !== undefined);
    if (fields.length === 0) return '{}';
    return `{\n${fields.map(([k, v]) => `${inner}${JSON.stringify(k)}: ${print(v, depth - 1, inner)}`).join(',\n')}\n${indent}}`;
  };
  return `${print(plan, 6, '')}\n`;
}
