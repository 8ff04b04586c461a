/** A model that is too large for its target: what is short, by how much, and what was tried and fits. */
import { resolve } from 'node:path';
import { compile } from '../src/index.ts';

const model = resolve(import.meta.dirname, '../models/pico/decoder_with_past.onnx');
const { exitCode, diagnostics } = await compile({ model, target: 'mesh-4x4', context: 4096 });
process.stdout.write(`exit code ${exitCode}\n`);

for (const { code, message, where, shortfall, remedies = [] } of diagnostics) {
  process.stdout.write(`${code}: ${message}\n  ${where ?? ''}\n`);
  if (shortfall) {
    const { need, have, terms } = shortfall;
    process.stdout.write(`  need ${need} bytes, have ${have}, short ${need - have}\n`);
    for (const { what, bytes } of terms) process.stdout.write(`    ${what.padEnd(16)} ${String(bytes).padStart(8)}\n`);
  }
  // A remedy was tried by planning again before it is named.
  for (const { flag, effect } of remedies) process.stdout.write(`  fits with ${flag}: ${effect}\n`);
}
