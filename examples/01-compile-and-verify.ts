/** The whole way: compile a model for a wafer, look at figures of the report, prove the plan, remove it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildReport, compile, readPlan, verify } from '../src/index.ts';

const model = resolve(import.meta.dirname, '../models/pico/decoder_with_past.onnx');
const folder = mkdtempSync(join(tmpdir(), 'wafc-example-'));
const plan = join(folder, 'plan');

const compiled = await compile({ model, target: 'wse3', context: 256, output: plan });
if (compiled.exitCode !== 0) throw new Error('pico fits on a WSE-3');

const { sram, decode, collectives } = buildReport(readPlan(plan));
process.stdout.write(`fullest core: ${sram.peakBytes} of ${sram.limitBytes} bytes; ${sram.coresUsed} cores used\n`);
process.stdout.write(`region-wide collectives per layer: ${collectives.sequentialAllReducesPerLayer}\n`);
const cycles = decode?.cyclesPerToken;
process.stdout.write(`cycles per token: ${cycles?.calibrated} calibrated, ${cycles?.bound} bound\n\n`);

const verified = await verify({ plan, tokens: 4 });
process.stdout.write(verified.text());
rmSync(folder, { recursive: true });
process.exitCode = verified.exitCode;
