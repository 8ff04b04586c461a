/**
 * Our plans beside the published one, on its machine, in its precision, by one cost model: once for the same work (no
 * grouped queries, padded dims, no residency, at most as many cores), once for the model as it is (grouped queries,
 * weights and cache of all layers resident). Regions are chosen with the default split of the overhead, and then costed
 * with each.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildModel, CONFIGS } from '../../models/configs.ts';
import type { LlamaConfig } from '../../models/llama.ts';
import splitStages from '../../passes/3-partition/split-stages.ts';
import { type Overhead, OVERHEAD_SPLITS } from '../cost/constants.ts';
import { joinedByStage, joinedCycles } from '../cost/joined.ts';
import { costProgram } from '../cost/program.ts';
import { costPublished, type PublishedRow, sharesOf } from '../cost/published.ts';
import { sendsOf } from '../cost/step.ts';
import type { Program, Stage, Stages, With } from '../ir/facts.ts';
import type { RegionProgram } from '../ir/program.ts';
import type { Target } from '../ir/target.ts';
import { type Found, RegionSearch } from '../map/search.ts';
import { writeModel } from '../onnx/writer.ts';
import { QUIET, runPasses } from '../pass/manager.ts';
import { step } from '../pass/pass.ts';
import { placeRegions } from '../place/regions.ts';
import type { OwnPlan, SplitFigures } from '../report/bench-own.ts';
import { countProgram } from '../report/collectives.ts';
import { loadModel } from './compile.ts';
import { BIND_STEP, GRAPH_STEPS } from './pipeline.ts';

/** Enough of a core for anything: the published plan did not hold its layers at the same time, either. */
const NO_LIMIT = 2 ** 40;
/** Width of a head that is closest to this and divides the padded model. */
const HEAD_WIDTH = 128;

/** Both comparisons with `row`, a row of Llama-3-8B. */
export function ownPlans(row: PublishedRow, target: Target): OwnPlan[] {
  return [sameWork(row, target), realModel(row, target)];
}

export function sameWork(row: PublishedRow, machine: Target): OwnPlan {
  const { dim, ffn, seq, grid } = row;
  const heads = headsOf(dim);
  const config = { ...llama(), hidden: dim, ffn, heads, kvHeads: heads, headDim: dim / heads };
  const target = { ...machine, width: grid, height: grid, sramBytes: NO_LIMIT };
  const staged = stagedShapes(config, seq, target);
  const { stages } = staged;
  const layer = stages.stages[1];
  const alone: Stages = {
    ...stages,
    host: [],
    stages: [{ ...layer, template: 0 }],
    templates: [{ name: 'layer', exemplar: 0 }],
  };
  const found = search({ ...staged, stages: alone });
  return compared('same work', row, { found, stages: alone, layers: row.layers, target });
}

export function realModel(row: PublishedRow, target: Target): OwnPlan {
  const staged = stagedShapes(llama(), REAL_CONTEXT, target);
  const stages = withLayers(staged.stages, row.layers);
  return compared('real model', row, { found: search({ ...staged, stages }), stages, layers: 1, target });
}

const REAL_CONTEXT = 4096;

function llama(): LlamaConfig {
  const config = CONFIGS.get('llama-8b');
  if (config?.kind !== 'llama') throw new Error('models/configs.ts has no llama-8b');
  return { ...config, layers: 2 };
}

function headsOf(dim: number): number {
  const widths = Array.from({ length: dim / 2 }, (_, i) => 2 * (i + 1)).filter((w) => dim % w === 0);
  const far = (w: number): number => Math.abs(w - HEAD_WIDTH);
  return dim / widths.reduce((a, b) => (far(b) < far(a) ? b : a));
}

/** The stages of a model of which only the shapes exist. */
function stagedShapes(config: LlamaConfig, context: number, target: Target): With<'stages'> {
  const folder = mkdtempSync(join(tmpdir(), 'wafc-bench-'));
  try {
    const path = join(folder, 'model.onnx');
    writeModel(path, buildModel(config), { external: true, data: false });
    const { graph, roles } = loadModel(path, 1, {});
    const start: Program = { graph, roles, target, mode: { kind: 'stream', batch: 1, context } };
    const { stages, ...program } = runPasses(start, [...GRAPH_STEPS, BIND_STEP, step(splitStages, {})], QUIET);
    if (stages === undefined) throw new Error('split-stages left no stages');
    return { ...program, stages };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Embedding, layer, layer, head with the first layer as often as it takes: layers are alike. */
function withLayers({ host, stages, templates }: Stages, layers: number): Stages {
  const [embed, first, ...rest] = stages;
  const more: Stage[] = Array.from({ length: layers - 2 }, () => first);
  const all = [embed, first, ...more, ...rest];
  return {
    host,
    stages: all,
    templates: templates.map((t, i) => ({ ...t, exemplar: all.findIndex((s) => s.template === i) })),
  };
}

function search(program: With<'stages'>): Found {
  const result = new RegionSearch(program).run();
  if ('noFit' in result) throw new Error('Llama-3-8B does not fit the machine of the published plan');
  return result.found;
}

interface Costed {
  readonly found: Found;
  readonly stages: Stages;
  /** How often the stages are run for a token. */
  readonly layers: number;
  readonly target: Target;
}

/** Layers only, and the sends to and between them: the published figures have no embedding and no head. */
function compared(name: OwnPlan['name'], row: PublishedRow, { found, stages, layers, target }: Costed): OwnPlan {
  const { programs, groups } = found;
  const layer = stages.stages.findLast((s) => stages.templates[s.template].name === 'layer') ?? stages.stages[0];
  const program = programs[layer.template];
  const sizes = groups.map((g) => programs[stages.stages[g[0]].template].shape);
  const regions = placeRegions(sizes, target);
  if (regions === undefined) throw new Error('the search found regions that have no place');
  const isLayer = (s: Stage): boolean => s.template === layer.template;
  const costed = (overhead: Overhead) => {
    const sends = sendsOf({ stages, programs, groups, regions }, target, overhead);
    const { cycles, communication } = sharesOf(costProgram(program, target, { overhead }));
    const own = stages.stages.flatMap((s, i) => (isLayer(s) ? [i] : []));
    const count = layers * own.length;
    // Where there is one layer, all of them are run on its region, one behind the other.
    const joined =
      layers > 1
        ? (layers - 1) * joinedCycles(program, program, target, overhead)
        : joinedByStage(stages.stages, groups, programs, target, overhead).reduce((a, b) => a + b, 0);
    const soft = Math.ceil(overhead.collective);
    return {
      cycles: count * cycles - joined + sends.reduce((n, s) => n + s.cycles, 0),
      communication: count * communication + sends.reduce((n, s) => n + s.cycles - soft, 0),
    };
  };
  const splits = Object.entries(OVERHEAD_SPLITS).map(([split, overhead]): SplitFigures => {
    const published = sharesOf(costPublished(row, target, { overhead }));
    const ours = costed(overhead);
    return {
      split,
      publishedCycles: row.layers * published.cycles,
      ownCycles: ours.cycles,
      speedUp: (row.layers * published.cycles) / ours.cycles,
    };
  });
  const publishedCommunication = row.layers * sharesOf(costPublished(row, target)).communication;
  const { communication } = costed(OVERHEAD_SPLITS.even);
  const counts = countProgram(program);
  return {
    name,
    regions: name === 'same work' ? 1 : groups.length,
    layer: shapeOf(program),
    layersPerRegion: groups.reduce((n, g) => Math.max(n, g.filter((s) => isLayer(stages.stages[s])).length), 0),
    regionWideAllReduces: counts.region,
    localCollectives: counts.local,
    publishedCommunication,
    ownCommunication: communication,
    communicationRatio: communication / publishedCommunication,
    splits,
  };
}

const shapeOf = ({ shape: { width, height, groups } }: RegionProgram): OwnPlan['layer'] => ({ width, height, groups });
