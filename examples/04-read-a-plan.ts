/** What is in a plan: regions, the program of a layer with its layouts, and the plan itself run as placed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  compile,
  generateGreedy,
  isCollective,
  PlacedModel,
  placedDecoder,
  printLayout,
  readPlan,
} from '../src/index.ts';

const model = resolve(import.meta.dirname, '../models/pico/decoder_with_past.onnx');
const folder = mkdtempSync(join(tmpdir(), 'wafc-example-'));
const directory = join(folder, 'plan');
await compile({ model, target: 'mesh-64x64', context: 128, output: directory });

const plan = readPlan(directory);
for (const [i, { x, y, width, height, stages }] of plan.regions.entries()) {
  const names = stages.map((s) => `${plan.stages[s].name} (${plan.templates[plan.stages[s].template].name})`);
  process.stdout.write(`region ${i} at (${x},${y}), ${width}x${height} cores: ${names.join(', ')}\n`);
}

const t = plan.templates.findIndex(({ name }) => name === 'layer');
const { program } = plan.templates[t];
process.stdout.write('\nthe program of a layer: cycles, op, layout of its first result\n');
for (const { op: index, cycles } of plan.schedule.perTemplate[t]) {
  const op = program.ops[index];
  const made = 'outputs' in op ? op.outputs[0] : 'out' in op ? op.out : op.state;
  const what = isCollective(op) ? `${op.op}${op.combine ? ` ${op.combine}` : ''}` : op.op;
  process.stdout.write(`${String(cycles).padStart(6)}  ${what.padEnd(20)} ${printLayout(program.tensors[made])}\n`);
}

// pico is a model of bytes: a token is a character.
const prompt = 'function add(a, b) {\n';
const ids = await generateGreedy(
  placedDecoder(new PlacedModel(plan, directory)),
  [...prompt].map((c) => c.charCodeAt(0)),
  36,
);
process.stdout.write(`\nrun core by core, keys and values on the cores:\n${prompt}${String.fromCharCode(...ids)}\n`);
rmSync(folder, { recursive: true });
