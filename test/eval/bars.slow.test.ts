/** Bars of compression.md section 1.19 on the first two windows of its text: the order of the formats, which few tokens show already. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import quantizeCache from '../../passes/2-compress/quantize-cache.ts';
import quantizeWeights from '../../passes/2-compress/quantize-weights.ts';
import roundActivations from '../../passes/2-compress/round-activations.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import { textCorpus, windowsOf } from '../../src/eval/corpus.ts';
import { Evaluator } from '../../src/eval/evaluate.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { type Step, step } from '../../src/pass/pass.ts';
import { loadTarget } from '../../src/target/load.ts';
import { openTokenizer } from '../../src/tokenizer/open.ts';

const shared = join(import.meta.dirname, '../../../shared/models');
const present = existsSync(shared);
/** EVAL of the page begins here. */
const EVAL_FROM = 2_017_152;

test.skipIf(!present)(`stories260K: formats in their order${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  const tokenizer = openTokenizer(join(shared, 'models/tinyllamas-stories260K/data/tok512.bin'));
  const all = readFileSync(join(shared, 'text/tinystories_sample_2MB.txt'), 'utf8');
  const windows = windowsOf(textCorpus(all.slice(EVAL_FROM), tokenizer, 'EVAL'), 512, 2);
  expect([...windows[0].subarray(0, 8)]).toEqual([1, 284, 262, 304, 420, 422, 432, 317]);
  const path = join(shared, 'models/exports/stories260K/decoder_with_past_model.ts17.onnx');
  const { graph, roles } = loadModel(path, 1, {});
  const mode = { kind: 'stream', batch: 1, context: 512 } as const;
  const calibration = windowsOf(textCorpus(all.slice(0, 20_000), tokenizer, 'CAL'), 512, 4);
  const dense = runPasses({ graph, roles, mode, target: loadTarget('wse3'), calibration }, GRAPH_STEPS, QUIET);
  const evaluator = new Evaluator(dense, windows);
  const kl = (format: string, algorithm = 'rtn'): number =>
    evaluator.compare(runPasses(dense, [step(quantizeWeights, { head: 'keep', format, algorithm })], QUIET)).klMean;
  expect(kl('int8')).toBeLessThan(1e-3); // B3
  const order = [kl('int4', 'hqq'), kl('int4:g32:asym'), kl('int4:g32:signed'), kl('int4:g32:sym')]; // B5, B7
  expect(order).toEqual(order.toSorted((a, b) => a - b));
  const rise = (...steps: Step[]): number => {
    const found = evaluator.compare(runPasses(dense, steps, QUIET));
    return found.perplexity / found.dense.perplexity - 1;
  };
  const kv = (format: string): number => rise(step(quantizeCache, { format }));
  expect([kv('int8') < 0.02, kv('int4:kivi32') < 0.04]).toEqual([true, true]); // B16, with less text to calibrate on
  expect(rise(step(quantizeWeights, { head: 'keep' }), step(roundActivations, { format: 'int8:token' }))).toBeLessThan(
    0.007,
  ); // B17
});
