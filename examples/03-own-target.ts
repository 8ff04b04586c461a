/** A machine of one's own: 03-own-target.json describes it, pico is placed on it, around its two bad spots. */
import { resolve } from 'node:path';
import { compile, Diagnosed, loadTarget } from '../src/index.ts';

const path = resolve(import.meta.dirname, '03-own-target.json');
// Throws Diagnosed with every finding of the file at once: wrong types, missing sources, defects outside the mesh.
const target = loadTarget(path);
process.stdout.write(`${target.name}: ${target.summary}\n`);

const model = resolve(import.meta.dirname, '../models/pico/decoder_with_past.onnx');
const { text, exitCode } = await compile({ model, target: path, context: 512 });
process.stdout.write(text());
process.exitCode = exitCode;

try {
  loadTarget('mesh-12x12');
} catch (error) {
  if (!(error instanceof Diagnosed)) throw error;
  process.stdout.write(`\na name that is no target:\n${error.message}\n`);
}
