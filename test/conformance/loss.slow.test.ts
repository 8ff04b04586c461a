/**
 * The loss of every precision on the model's own samples, as ../shared/models/README.md has it: the text as ids, in whole windows of
 * 255, each after the token that begins a text. Skips loudly without those files.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Session } from '../../src/exec/session/session.ts';
import { importModel } from '../../src/frontend/import.ts';
import { isKnown } from '../../src/ir/dim.ts';
import { openTokenizer } from '../../src/tokenizer/open.ts';
import { fromNumbers, type Tensor, zeros } from '../../src/tensor/tensor.ts';

const shared = join(import.meta.dirname, '../../../shared/models/models');
const present = existsSync(join(shared, 'text/calib_story.txt'));
const BEGIN = 1;
const WINDOW = 255;

/** Nats a token. In floats the last digit of the table; rounding ties of integers move logits by a step. */
const TABLE: readonly [file: string, nll: number, bound: number][] = [
  ['decoder_model.ts17', 1.13268, 1e-5],
  ['decoder_with_past_model.ts17.fp16', 1.1326, 5e-4],
  ['decoder_with_past_model.ts17.q4', 1.25745, 1e-5],
  ['decoder_model.dynamo18.qdq_s8s8_pc', 1.15318, 5e-3],
  ['decoder_model.dynamo18.qop', 1.15115, 5e-3],
  ['decoder_with_past_model.ts17.int8dyn', 1.14221, 5e-3],
];

function windows(): readonly number[][] {
  const tokenizer = openTokenizer(join(shared, 'tinyllamas-stories260K/data/tok512.bin'), 512);
  const text = readFileSync(join(shared, 'text/calib_story.txt'), 'utf8');
  const ids = [...tokenizer.encode(text)].filter((id, i) => i > 0 || id !== BEGIN);
  const starts = Array.from({ length: Math.floor(ids.length / WINDOW) }, (_, i) => i * WINDOW);
  return starts.map((start) => [BEGIN, ...ids.slice(start, start + WINDOW)]);
}

/** Mean negative log-likelihood of ids 1 .. of every window. */
function lossOf(file: string): number {
  const { graph, roles } = importModel(join(shared, 'exports/stories260K', `${file}.onnx`));
  const session = new Session(graph);
  let [sum, count] = [0, 0];
  for (const ids of windows()) {
    const row = (values: readonly number[]): Tensor => fromNumbers('i64', [1, values.length], values);
    const feeds = new Map<string, Tensor>();
    for (const v of graph.inputs) {
      const { dtype, shape } = graph.types[v];
      const kind = roles.byName.get(graph.names[v])?.kind;
      const empty = (): Tensor =>
        zeros(
          dtype,
          shape.map((n, axis) => (isKnown(n) ? n : axis === 0 ? 1 : 0)),
        );
      const given = kind === 'tokens' ? ids : kind === 'positions' ? ids.map((_, i) => i) : ids.map(() => 1);
      feeds.set(graph.names[v], kind === 'past' ? empty() : row(given));
    }
    const logits = session.run(feeds).get('logits');
    if (logits === undefined) throw new Error('no logits');
    const [, , width] = logits.shape;
    for (let i = 0; i + 1 < ids.length; i++) {
      const at = Float64Array.from(logits.data.subarray(i * width, (i + 1) * width));
      const most = Math.max(...at);
      let total = 0;
      for (const x of at) total += Math.exp(x - most);
      sum += Math.log(total) + most - at[ids[i + 1]];
      count++;
    }
  }
  return sum / count;
}

describe.skipIf(!present)(`losses of stories260K${present ? '' : ': NOT RUN, no ../shared/models'}`, () => {
  test.each(TABLE)('%s: %f', (file, nll, bound) => {
    const loss = lossOf(file);
    process.stdout.write(`${file}: ${loss.toFixed(5)} (table: ${nll})\n`);
    expect(Math.abs(loss - nll)).toBeLessThan(bound);
  });
});
