/**
 * `npx tsx test/bench/quantizers.ts`: weights a second of round-to-nearest and of a copy of the same matrix, and the time of GPTQ on a square matrix,
 * beside the product of two such matrices; in CPU time of this process, so that other work on the machine counts little. `-- --size 4096`.
 */
import { prepareMoments, COMPENSATE } from '../../src/compress/compensate.ts';
import { isRefusal, parseFormat } from '../../src/compress/format.ts';
import { gptq } from '../../src/compress/gptq.ts';
import { roundToNearest } from '../../src/compress/rtn.ts';
import { randomStream } from '../../src/util/rng.ts';
import { table } from '../../src/util/table.ts';

const at = process.argv.indexOf('--size');
const size = at < 0 ? 2048 : Number(process.argv[at + 1]);
const random = randomStream(1, 'weights');
const values = Float32Array.from({ length: size * size }, () => random() - 0.5);
const matrix = { rows: size, columns: size, values };

/** Seconds of CPU time, the least of some runs. */
function seconds(run: () => unknown, times = 3): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1e6);
  }
  return least;
}

const integer = (word: string) => {
  const format = parseFormat(word);
  if (isRefusal(format) || format.kind !== 'integer') throw new Error(word);
  return format;
};
const rate = (s: number): string => `${((size * size) / s / 1e6).toFixed(0)} M/s`;

const copied = seconds(() => values.map((x) => x * 0.5), 5);
const rows = [['one pass over f32 (x * 0.5)', `${copied.toFixed(3)} s`, rate(copied), '1.0']];
for (const word of ['int8', 'int4:g32:asym', 'int4:g32:signed', 'int4:g128:sym']) {
  const s = seconds(() => roundToNearest(matrix, integer(word)), 5);
  rows.push([`rtn ${word}`, `${s.toFixed(3)} s`, rate(s), (s / copied).toFixed(1)]);
}
if (process.argv.includes('--gptq')) {
  const moments = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++)
      moments[i * size + j] = moments[j * size + i] = i === j ? 2 + (i % 7) : 0.5 ** (1 + ((i - j) % 13));
  let prepared: ReturnType<typeof prepareMoments> | undefined;
  const factor = seconds(() => (prepared = prepareMoments(moments, size, COMPENSATE)), 1);
  if (prepared === undefined) throw new Error('not prepared');
  const ready = prepared;
  const sweep = seconds(() => gptq(matrix, integer('int4:g32:asym'), ready), 1);
  rows.push(
    [`gptq int4:g32, factor`, `${factor.toFixed(2)} s`, '', ''],
    [`gptq int4:g32, sweep`, `${sweep.toFixed(2)} s`, rate(sweep), ''],
  );
}
process.stdout.write(
  `${table(
    [
      { head: `${size} x ${size}`, align: 'left' as const },
      { head: 'CPU time', align: 'right' as const },
      { head: 'weights', align: 'right' as const },
      { head: 'ratio', align: 'right' as const },
    ],
    rows,
  )}\n`,
);
