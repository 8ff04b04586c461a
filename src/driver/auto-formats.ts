/**
 * `--quantize auto`: the formats of least harm with which the plan fits. Layers of one role (the same place in equal stages) get one
 * format, so that equal stages stay equal. What decides is the SRAM map of the fullest core, not a sum of bytes; with `--budget`, the bytes of
 * all weights as well. Harm is the divergence of the model with only that role in the format, on a calibration text; without one, the noise of
 * the rounded weights; without weights, what their bits make of it.
 */
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { formatsFor, readFormat } from '../compress/assign.ts';
import { matrixOf } from '../compress/constant.ts';
import { type Format } from '../compress/format.ts';
import { dequantizeMatrix, type Matrix, sqnrDb } from '../compress/matrix.ts';
import { type Cost, type Unit, widen } from '../compress/mixed.ts';
import { unknownWeight } from '../compress/unknown.ts';
import { type Algorithm, compressMatrix } from '../compress/weights.ts';
import type { Diagnostic } from '../diag/diagnostic.ts';
import { Evaluator } from '../eval/evaluate.ts';
import { type Linear, linearsOf } from '../eval/linears.ts';
import { type Constant, elementCount, isQuantized } from '../ir/constant.ts';
import type { Program } from '../ir/facts.ts';
import { bitsPerWeight, storedBytes } from '../ir/storage.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { step } from '../pass/pass.ts';

/** From the smallest on; `keep` is the model as it is. */
const LADDER = ['int4:g32:asym', 'int8:row:sym', 'fp16', 'keep'] as const;

/** Tokens that divergence is measured on: 1 to 2 thousand tell formats apart (compression.md section 1.12). */
const MEASURED_TOKENS = 2048;

export interface AutoRules {
  readonly override: readonly string[];
  readonly exclude: readonly string[];
  /** Of the narrow formats in the plan: how a plan stores their zero points. */
  readonly algorithm: Algorithm;
  /** Whether weights have values. */
  readonly values: boolean;
  /** Most bytes of all weights. */
  readonly budgetBytes?: number;
}

export interface AutoFormats {
  /** `layer=format` for every layer that is not kept; null when nothing fits. */
  readonly overrides: readonly string[] | null;
  readonly remark: Diagnostic;
}

/** Layers that get one format. */
interface Role extends Unit {
  readonly linears: readonly Linear[];
}

/** Chooses formats for a token graph, with what is said of single layers left as said. `fits` plans a program with its formats. */
export function chooseFormats(lifted: Program, rules: AutoRules, fits: (program: Program) => boolean): AutoFormats {
  const { override, exclude, algorithm, budgetBytes = Number.POSITIVE_INFINITY } = rules;
  const linears = linearsOf(lifted.graph);
  const isFixed = fixedBy(linears, rules);
  const kept = linears.filter(isFixed).reduce((n, { constant }) => n + storedBytes(constant), 0);
  const rest = { format: 'keep', head: 'keep', exclude, algorithm, shapesOnly: true } as const;
  const planned = (chosen: readonly string[]): Program =>
    runPasses(lifted, [step(quantizeWeights, { ...rest, overrides: [...override, ...chosen] })], QUIET);
  const bytesOf = (sum: number): number => sum + kept;
  const denseBytes = bytesOf(
    linears.filter((l) => !isFixed(l)).reduce((n, { constant }) => n + storedBytes(constant), 0),
  );
  if (denseBytes <= budgetBytes && fits(planned([])))
    return { overrides: [], remark: remark('the model fits as it is: nothing is quantized') };
  const roles = rolesOf(lifted, isFixed, rules);
  const bytesAt = (rungs: readonly number[]): number =>
    bytesOf(roles.reduce((n, { costs }, r) => n + costs[rungs[r]].bytes, 0));
  const fitsAt = (rungs: readonly number[]): boolean =>
    bytesAt(rungs) <= budgetBytes && fits(planned(overridesOf(roles, rungs)));
  const smallest = roles.map(() => 0);
  if (!fitsAt(smallest))
    return {
      overrides: null,
      remark: remark('the model does not fit even with 4 bits a weight: the smallest formats are taken'),
    };
  const { rungs, tried, blocked } = widen(roles, fitsAt);
  const counts = LADDER.flatMap((word, rung) => {
    const layers = roles.reduce((n, role, r) => n + (rungs[r] === rung ? role.linears.length : 0), 0);
    return layers === 0 ? [] : [`${layers} layers ${word}`];
  });
  const by = !rules.values
    ? 'their bits'
    : lifted.calibration === undefined
      ? 'the noise of the weights'
      : 'divergence on the calibration text';
  return {
    overrides: overridesOf(roles, rungs),
    remark: {
      ...remark(`formats were chosen so that the plan fits: ${counts.join(', ')}`),
      notes: [
        `${bytesAt(rungs)} bytes of weights; as they are they take ${denseBytes}, with 4 bits everywhere ${bytesAt(smallest)}`,
        `${tried} wider formats were planned; ${blocked} of them did not fit`,
        `formats are compared by ${by}`,
      ],
    },
  };
}

const remark = (message: string): Diagnostic => ({ code: 'compress/auto', severity: 'remark', message });

/** Layers that a rule of the user decides on. */
function fixedBy(linears: readonly Linear[], { override, exclude }: AutoRules): (linear: Linear) => boolean {
  const under = (format: Format): ReturnType<typeof formatsFor> =>
    formatsFor(linears, { format, head: format, overrides: override, exclude });
  const [a, b] = [under({ kind: 'half' }), under({ kind: 'nvfp4' })];
  return ({ op, constant }) => isQuantized(constant) || a.get(op)?.kind === b.get(op)?.kind;
}

/** Layers by template and place in it, with what every rung costs. */
function rolesOf(lifted: Program, isFixed: (linear: Linear) => boolean, rules: AutoRules): Role[] {
  const { stages } = runPasses(lifted, [step(splitStages, {})], QUIET);
  if (stages === undefined) throw new Error('split-stages left no stages');
  const byOp = new Map(linearsOf(lifted.graph).map((linear) => [linear.op, linear]));
  const byPlace = new Map<string, Linear[]>();
  for (const { ops, template } of stages.stages) {
    for (const [place, op] of ops.entries()) {
      const linear = byOp.get(op);
      if (linear === undefined || isFixed(linear)) continue;
      const key = `${template}/${place}`;
      byPlace.set(key, [...(byPlace.get(key) ?? []), linear]);
    }
  }
  const roles = [...byPlace.values()];
  const harms = harmsOf(lifted, roles, rules);
  return roles.map((linears, r) => ({
    linears,
    costs: LADDER.map((word, rung): Cost => {
      const format = readFormat(word);
      const bytes = linears.reduce(
        (n, { name, constant }) => n + storedBytes(storedAs(name, constant, format, rules)),
        0,
      );
      return { bytes, harm: harms[r][rung] };
    }),
  }));
}

const storedAs = (name: string, constant: Constant, format: Format, { algorithm }: AutoRules): Constant =>
  format.kind === 'keep' ? constant : unknownWeight(name, constant, format, algorithm);

/** What every rung does to the model, by role. */
function harmsOf(lifted: Program, roles: readonly (readonly Linear[])[], rules: AutoRules): number[][] {
  if (!rules.values)
    return roles.map((linears) =>
      LADDER.map((word) =>
        linears.reduce((n, { name, constant }) => {
          const bits = bitsPerWeight(storedAs(name, constant, readFormat(word), rules));
          return n + 4 ** -bits * elementCount(constant.shape);
        }, 0),
      ),
    );
  if (lifted.calibration === undefined) return roles.map((linears) => noiseOf(linears));
  let left = MEASURED_TOKENS;
  const windows = lifted.calibration.filter(({ length }) => (left -= length) + length > 0);
  const evaluator = new Evaluator(lifted, windows);
  return roles.map((linears) =>
    LADDER.map((word) => {
      if (word === 'keep') return 0;
      const overrides = linears.map(({ name }) => `${name}=${word}`);
      const only = runPasses(lifted, [step(quantizeWeights, { format: 'keep', head: 'keep', overrides })], QUIET);
      return evaluator.compare(only).klMean;
    }),
  );
}

/** Noise over signal of the weights, times how many there are. One matrix is held at a time. */
function noiseOf(linears: readonly Linear[]): number[] {
  const sums = LADDER.map(() => 0);
  for (const { constant } of linears) {
    const matrix = matrixOf(constant);
    for (const [rung, word] of LADDER.entries())
      sums[rung] +=
        10 ** (-sqnrDb(matrix.values, valuesIn(matrix, readFormat(word))) / 10) * elementCount(constant.shape);
  }
  return sums;
}

function valuesIn(matrix: Matrix, format: Format): Float32Array {
  if (format.kind === 'keep') return matrix.values;
  const found = compressMatrix(matrix, format, 'rtn');
  return 'dense' in found ? found.dense : dequantizeMatrix(found.quantized);
}

const overridesOf = (roles: readonly Role[], rungs: readonly number[]): string[] =>
  roles.flatMap(({ linears }, r) => {
    const word = LADDER[rungs[r]];
    return word === 'keep' ? [] : linears.map(({ name }) => `${name}=${word}`);
  });
