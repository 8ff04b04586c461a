/**
 * `npm run docs:ablation`: writes the table of passes/README.md that says what each rewrite of the mapper saves: a layer of
 * Llama 8B (shapes only, f16, context 4096), planned on one shape with all rewrites, and with each one switched off.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { loadModel } from '../../src/driver/compile.ts';
import { BIND_STEP, GRAPH_STEPS } from '../../src/driver/pipeline.ts';
import type { Program, With } from '../../src/ir/facts.ts';
import { isCollective } from '../../src/ir/program.ts';
import { bestLayouts } from '../../src/map/layout-search.ts';
import { REWRITES } from '../../src/map/rewrites.ts';
import { StageContext } from '../../src/map/stage-context.ts';
import { writeModel } from '../../src/onnx/writer.ts';
import { QUIET, runPasses } from '../../src/pass/manager.ts';
import { step } from '../../src/pass/pass.ts';
import { loadTarget } from '../../src/target/load.ts';
import { formatInteger } from '../../src/util/format.ts';
import { PASS_DOCUMENT } from './pass-table.ts';

const START = '<!-- ablation -->';
const END = '<!-- /ablation -->';
const CONTEXT = 4096;
/** Machines, and a region near the best for a layer on each. */
const PLACES = [
  ['wse2', { width: 416, height: 416, groups: 8 }],
  ['wse3', { width: 240, height: 168, groups: 8 }],
] as const;

/** The program of the model, by its shapes. */
function staged(target: string): With<'stages'> {
  const config = CONFIGS.get('llama-8b');
  if (config === undefined) throw new Error('models/configs.ts has no llama-8b');
  const folder = mkdtempSync(join(tmpdir(), 'wafc-ablation-'));
  try {
    const path = join(folder, 'model.onnx');
    writeModel(path, buildModel({ ...config, layers: 2 }), { external: true, data: false });
    const { graph, roles } = loadModel(path, 1, {});
    const mode = { kind: 'stream', batch: 1, context: CONTEXT } as const;
    const start: Program = { graph, roles, target: loadTarget(target), mode };
    return runPasses(start, [...GRAPH_STEPS, BIND_STEP, step(splitStages, {})], QUIET) as With<'stages'>;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The block between the marks of passes/README.md, with its marks. */
export function ablationBlock(): string {
  const lines = PLACES.flatMap(([target, shape]) => {
    const { graph, roles, stages, target: machine } = staged(target);
    const { exemplar } = stages.templates.find(({ name }) => name === 'layer') ?? stages.templates[0];
    const stage = stages.stages[exemplar];
    const size = { tokens: 1, context: CONTEXT };
    const rows = [[], ...REWRITES.map((name) => [name])].map((disable) => {
      const context = new StageContext({ graph, roles, stage, shape, size, target: machine, options: { disable } });
      const { program, cycles } = bestLayouts(context);
      const collectives = program.ops.filter(isCollective);
      const local = collectives.filter(({ axes }) => axes.join() === 'xi').length;
      return { name: disable[0] ?? '(none)', region: collectives.length - local, local, cycles };
    });
    return rows.map(
      ({ name, region, local, cycles }) =>
        `| ${target} ${shape.width}x${shape.height} | ${name} | ${region} | ${local} | ${formatInteger(cycles)} | ${formatInteger(cycles - rows[0].cycles)} |`,
    );
  });
  return [
    START,
    '| a layer of llama-8b on | switched off | region-wide | local | cycles | lost |',
    '|---|---|---|---|---|---|',
    ...lines,
    END,
  ].join('\n');
}

/** The document with its table renewed. */
export function renewAblation(text: string): string {
  const [from, to] = [text.indexOf(START), text.indexOf(END)];
  if (from < 0 || to < 0) throw new Error(`passes/README.md has no block ${START} .. ${END}`);
  return text.slice(0, from) + ablationBlock() + text.slice(to + END.length);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(PASS_DOCUMENT, renewAblation(readFileSync(PASS_DOCUMENT, 'utf8')));
