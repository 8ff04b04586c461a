/**
 * `--quantize auto`: the formats of least harm with which the plan fits. Layers of one role (the same place in equal stages) get one
 * format, so that equal stages stay equal. From the smallest formats everywhere, the role that gains most accuracy for its bytes is widened
 * as long as the planner still finds a plan: what decides is the SRAM map of the fullest core, not a sum of bytes.
 */
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { matrixOf } from '../compress/constant.ts';
import { sqnrDb } from '../compress/matrix.ts';
import type { Diagnostic } from '../diag/diagnostic.ts';
import { type Linear, linearsOf } from '../eval/linears.ts';
import { elementCount } from '../ir/constant.ts';
import type { Program } from '../ir/facts.ts';
import { storedBytes } from '../ir/storage.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { step } from '../pass/pass.ts';

/** From the smallest on; `keep` is the model as it is. */
const LADDER = ['int4:g32:asym', 'int8:row:sym', 'fp16', 'keep'] as const;
type Rung = (typeof LADDER)[number];

/** Layers that get one format. */
interface Role {
  readonly linears: readonly Linear[];
  /** By rung: bytes, and noise over signal of the weights, summed over the layers. */
  readonly costs: readonly { readonly bytes: number; readonly noise: number }[];
}

export interface AutoFormats {
  /** `layer=format` for every layer that is not kept; null when nothing fits. */
  readonly overrides: readonly string[] | null;
  readonly remark: Diagnostic;
}

/** Chooses formats for a token graph. `fits` plans a program with its formats. */
export function chooseFormats(lifted: Program, fits: (program: Program) => boolean): AutoFormats {
  if (fits(lifted)) return { overrides: [], remark: remark('the model fits as it is: nothing is quantized') };
  const roles = rolesOf(lifted);
  const rungs = roles.map(() => 0);
  const at = (chosen: readonly number[]): Program => quantized(lifted, overridesOf(roles, chosen));
  if (!fits(at(rungs)))
    return {
      overrides: null,
      remark: remark('the model does not fit even with 4 bits a weight: the smallest formats are taken'),
    };
  const blocked = new Set<number>();
  let tried = 0;
  for (;;) {
    const next = best(roles, rungs, blocked);
    if (next === undefined) break;
    const wider = rungs.with(next, rungs[next] + 1);
    tried++;
    if (fits(at(wider))) rungs[next]++;
    else blocked.add(next);
  }
  const counts = LADDER.flatMap((word, rung) => {
    const layers = roles.reduce((n, { linears }, r) => n + (rungs[r] === rung ? linears.length : 0), 0);
    return layers === 0 ? [] : [`${layers} layers ${word}`];
  });
  const bytes = roles.reduce((n, { costs }, r) => n + costs[rungs[r]].bytes, 0);
  return {
    overrides: overridesOf(roles, rungs),
    remark: {
      ...remark(`formats were chosen so that the plan fits: ${counts.join(', ')}`),
      notes: [
        `${bytes} bytes of weights; as they are they take ${roles.reduce((n, { costs }) => n + costs[LADDER.length - 1].bytes, 0)}, with 4 bits everywhere ${roles.reduce((n, { costs }) => n + costs[0].bytes, 0)}`,
        `${tried} wider formats were planned; ${blocked.size} of them did not fit their fullest core`,
      ],
    },
  };
}

const remark = (message: string): Diagnostic => ({ code: 'compress/auto', severity: 'remark', message });

/** The role whose next rung takes most noise away for its bytes; the smaller index on a tie. */
function best(roles: readonly Role[], rungs: readonly number[], blocked: ReadonlySet<number>): number | undefined {
  let [found, most]: [number | undefined, number] = [undefined, Number.NEGATIVE_INFINITY];
  for (const [r, { costs }] of roles.entries()) {
    const [now, next] = [costs[rungs[r]], costs[rungs[r] + 1]];
    if (blocked.has(r) || next === undefined) continue;
    const gain = (now.noise - next.noise) / Math.max(1, next.bytes - now.bytes);
    if (gain > most) [found, most] = [r, gain];
  }
  return found;
}

/** Layers by template and place in it. */
function rolesOf(lifted: Program): Role[] {
  const { stages } = runPasses(lifted, [step(splitStages, {})], QUIET);
  if (stages === undefined) throw new Error('split-stages left no stages');
  const byPlace = new Map<string, Linear[]>();
  const linears = linearsOf(lifted.graph);
  for (const { ops, template } of stages.stages) {
    for (const [place, op] of ops.entries()) {
      const linear = linears.find((l) => l.op === op);
      if (linear === undefined) continue;
      const key = `${template}/${place}`;
      byPlace.set(key, [...(byPlace.get(key) ?? []), linear]);
    }
  }
  const graphs = LADDER.map(
    (word) =>
      quantized(
        lifted,
        linears.map((l) => `${l.name}=${word}`),
      ).graph,
  );
  const dense = new Map(linears.map((l) => [l.name, matrixOf(l.constant).values]));
  const rungs = graphs.map((graph) => new Map(linearsOf(graph).map((l) => [l.name, l.constant])));
  return [...byPlace.values()].map((layers) => ({
    linears: layers,
    costs: rungs.map((constants) => {
      const sum = { bytes: 0, noise: 0 };
      for (const { name } of layers) {
        const constant = constants.get(name);
        const values = dense.get(name);
        if (constant === undefined || values === undefined) throw new Error(`${name} is gone`);
        sum.bytes += storedBytes(constant);
        sum.noise += 10 ** (-sqnrDb(values, matrixOf(constant).values) / 10) * elementCount(constant.shape);
      }
      return sum;
    }),
  }));
}

const overridesOf = (roles: readonly Role[], rungs: readonly number[]): string[] =>
  roles.flatMap(({ linears }, r) => {
    const word: Rung = LADDER[rungs[r]];
    return word === 'keep' ? [] : linears.map(({ name }) => `${name}=${word}`);
  });

/** Rounded to nearest: bytes are those of every algorithm. */
const quantized = (lifted: Program, overrides: readonly string[]): Program =>
  runPasses(lifted, [step(quantizeWeights, { format: 'keep', head: 'keep', overrides })], QUIET);
