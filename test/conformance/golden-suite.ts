/** The golden cases of ../shared/models/cases.json: real exports with outputs of onnxruntime. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGraph } from '../../src/exec/reference.ts';
import { importModel } from '../../src/frontend/import.ts';
import { readNpy } from '../../src/tensor/npy.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { difference, type Tolerance } from './compare.ts';

export interface GoldenCase {
  readonly id: string;
  readonly case: string;
  readonly model: string;
  readonly dir: string;
  readonly inputs: Readonly<Record<string, { readonly file: string }>>;
  readonly outputs: Readonly<Record<string, { readonly file: string }>>;
  /** How far onnxruntime's optimized run is from its plain one: noise that no one can be closer than. */
  readonly opt_diff: number | null;
}

export type Precision = 'fp32' | 'fp16' | 'int8-dynamic' | 'int8-qdq' | 'int8-qoperator' | 'int4-matmulnbits';

/** What the README of the cases asks for; quantized forms are judged by the model's quality, see {@link agreement}. */
const TOLERANCE: Readonly<Partial<Record<Precision, Tolerance>>> = {
  fp32: { absolute: 1e-4, relative: 1e-3 },
  fp16: { absolute: 0, relative: 1e-2 },
  'int4-matmulnbits': { absolute: 1e-3, relative: 1e-3 },
};

/** All cases of `root`, each with the precision of its model. */
export function goldenCases(root: string): readonly (GoldenCase & { readonly precision: Precision })[] {
  const read = <T>(file: string): readonly T[] => JSON.parse(readFileSync(join(root, file), 'utf8'));
  const models = new Map(
    read<{ model: string; precision: Precision }>('index.json').map((m) => [m.model, m.precision]),
  );
  return read<GoldenCase>('cases.json').map((c) => ({ ...c, precision: models.get(c.model) ?? 'fp32' }));
}

/** The tensors of a case's inputs or outputs, by name. */
export const loadTensors = (root: string, golden: GoldenCase, files: GoldenCase['inputs']): Map<string, Tensor> =>
  new Map(Object.entries(files).map(([name, { file }]) => [name, readNpy(join(root, golden.dir, file))]));

/** What the reference executor gives for a case. */
export function runGolden(root: string, golden: GoldenCase): Map<string, Tensor> {
  const { graph } = importModel(join(root, golden.model));
  return runGraph(graph, loadTensors(root, golden, golden.inputs));
}

/**
 * fp16 is relative to the largest element of the tensor: wafc rounds after every op, onnxruntime computes whole graphs
 * in f32, and the difference is of the size of the values that were added, not of their sum.
 */
function scaled(tolerance: Tolerance, noise: number, expected: Tensor): Tolerance {
  if (tolerance.absolute !== 0) return { ...tolerance, absolute: Math.max(tolerance.absolute, noise) };
  let largest = 0;
  for (const v of expected.data) largest = Math.max(largest, Math.abs(v));
  return { absolute: tolerance.relative * largest, relative: 0 };
}

/** Quantized forms move by rounding ties: the README asks for this share of equal arg maxima. */
const AGREEMENT = 0.97;
/** .. and this difference of the loss, in nats a token, against the same file in onnxruntime. */
const LOSS = 0.005;

/** What is wrong with the outputs found for a case, within the bounds that the README of the models gives its precision. */
export function faultOf(
  root: string,
  golden: GoldenCase & { readonly precision: Precision },
  results: ReadonlyMap<string, Tensor>,
): string | undefined {
  const tolerance = TOLERANCE[golden.precision];
  for (const [name, expected] of loadTensors(root, golden, golden.outputs)) {
    const found = results.get(name);
    if (found === undefined) return `${golden.model} gives no output ${name}`;
    if (tolerance === undefined) return lossFault(root, golden, expected, found);
    const exact = !(expected.data instanceof Float32Array) || expected.dtype === 'bool';
    const wrong = difference(expected, found, exact ? undefined : scaled(tolerance, golden.opt_diff ?? 0, expected));
    if (wrong !== undefined) return `output ${name}: ${wrong}`;
  }
  return undefined;
}

function lossFault(root: string, golden: GoldenCase, expected: Tensor, found: Tensor): string | undefined {
  const same = agreement(expected, found);
  if (same < AGREEMENT) return `${same} of the arg maxima agree`;
  const loss = lossDifference(expected, found, readNpy(join(root, golden.dir, golden.inputs.input_ids.file)));
  return Math.abs(loss) > LOSS ? `the loss differs by ${loss}` : undefined;
}

/** Share of rows (last axis) whose largest element is at the same place: for forms whose rounding ties move. */
function agreement(expected: Tensor, found: Tensor): number {
  const width = expected.shape[expected.shape.length - 1];
  const best = ({ data }: Tensor, row: number): number => {
    let at = row * width;
    for (let i = at; i < (row + 1) * width; i++) if (data[i] > data[at]) at = i;
    return at;
  };
  const rows = expected.data.length / width;
  let same = 0;
  for (let row = 0; row < rows; row++) if (best(expected, row) === best(found, row)) same++;
  return same / rows;
}

/**
 * How much more (or less) surprised the found logits are by the text than the expected ones, in nats a token. The text is
 * the case's own ids; where there is no next one, what the expected logits hold likeliest.
 */
function lossDifference(expected: Tensor, found: Tensor, ids: Tensor): number {
  const width = expected.shape[expected.shape.length - 1];
  const rows = expected.data.length / width;
  const length = ids.shape[ids.shape.length - 1];
  let more = 0;
  for (let row = 0; row < rows; row++) {
    const isLast = row % length === length - 1;
    const target = isLast ? likeliest(expected, row, width) : ids.data[row + 1];
    more += surprise(found, row, width, target) - surprise(expected, row, width, target);
  }
  return more / rows;
}

function likeliest({ data }: Tensor, row: number, width: number): number {
  let best = 0;
  for (let i = 1; i < width; i++) if (data[row * width + i] > data[row * width + best]) best = i;
  return best;
}

/** Negative log-likelihood of `target` under the logits of `row`. */
function surprise({ data }: Tensor, row: number, width: number, target: number): number {
  const logits = Array.from(data.subarray(row * width, (row + 1) * width));
  const most = Math.max(...logits);
  const total = logits.reduce((sum, v) => sum + Math.exp(v - most), 0);
  return Math.log(total) + most - logits[target];
}
