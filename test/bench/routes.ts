/**
 * `npm run bench:routes [-- TARGET [WORD]]`: every model of ../shared/models compiled without weights, its plan checked on
 * paper, and the colors and queues of its fullest core beside what the target has. Models that are refused are named with
 * the reason. Ends with 1 when a plan does not hold. WORD: only models whose path has it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Diagnosed } from '../../src/diag/diagnostic.ts';
import { check, compile } from '../../src/index.ts';
import type { Report } from '../../src/report/report.ts';
import { loadTarget } from '../../src/target/load.ts';
import { pairs } from '../../src/util/table.ts';

const SHARED = join(import.meta.dirname, '../../../shared/models');
const [name = 'wse3', word = ''] = process.argv.slice(2);
const target = loadTarget(name);
const index: readonly { readonly model: string; readonly kind: string }[] = JSON.parse(
  readFileSync(join(SHARED, 'index.json'), 'utf8'),
);

const folder = mkdtempSync(join(tmpdir(), 'wafc-routes-'));
const lines: [string, string][] = [];
let broken = 0;
for (const { model, kind } of index) {
  if (!model.includes(word)) continue;
  const what = `${basename(dirname(model))}/${basename(model)}`;
  const before = process.cpuUsage();
  try {
    const output = join(folder, 'plan');
    const options = { model: join(SHARED, model), target: name, output, weights: false };
    // A short context is planned faster; some models have fewer positions.
    const answer = await compile({ ...options, context: 32 }).catch(() => compile(options));
    const { routing } = answer.json() as Report;
    const found = check({ plan: output });
    const spent = process.cpuUsage(before);
    if (found.exitCode !== 0) broken++;
    const rules = [...new Set(found.diagnostics.map((d) => d.code))].join(', ');
    const seconds = ((spent.user + spent.system) / 1e6).toFixed(1);
    lines.push([
      what,
      `${routing?.colorsMax} of ${target.colors.usable.length} colors, ${routing?.inputQueuesMax} of ${target.queues.input} in, ${routing?.outputQueuesMax} of ${target.queues.output} out; ${found.exitCode === 0 ? 'holds' : `BROKEN: ${rules}`}; ${seconds} s`,
    ]);
  } catch (error) {
    if (!(error instanceof Diagnosed)) throw error;
    lines.push([what, `${kind}, refused: ${error.diagnostics[0].code} ${error.diagnostics[0].message.slice(0, 90)}`]);
  }
  rmSync(join(folder, 'plan'), { recursive: true, force: true });
  process.stdout.write(pairs(lines.slice(-1), '  '));
}
rmSync(folder, { recursive: true, force: true });
process.exitCode = broken > 0 ? 1 : 0;
