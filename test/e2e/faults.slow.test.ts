/** `wafc verify` finds what is wrong with a plan, and names the first op whose values leave their bound. */
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { VerifyResult } from '../../src/report/verify-result.ts';
import { type Plan, readPlan, verify } from '../../src/index.ts';
import { temporaryFolder } from '../onnx/support.ts';
import { compiled, PICO, verified } from './support.ts';

const folder = temporaryFolder();
const good = join(folder, 'good');
beforeAll(async () => {
  await compiled({ model: join(PICO, 'decoder_with_past.onnx'), target: 'mesh-8x8', output: good, context: 64 });
});

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
type Draft = { -readonly [K in keyof Plan]: Plan[K] };

/** A copy of the plan with another weights.bin (digests follow) or another plan.json. */
function tampered(
  name: string,
  change: { weights?: (bytes: Float32Array, plan: Plan) => void; plan?: (plan: Draft) => void },
): string {
  const copy = join(folder, name);
  cpSync(good, copy, { recursive: true });
  const plan = structuredClone(readPlan(copy)) as Draft;
  if (change.weights) {
    const bytes = new Uint8Array(readFileSync(join(copy, 'weights.bin')));
    change.weights(new Float32Array(bytes.buffer), plan);
    writeFileSync(join(copy, 'weights.bin'), bytes);
    plan.stages = plan.stages.map((stage) => ({
      ...stage,
      weights: stage.weights.map((w) => ({ ...w, sha256: sha256(bytes.subarray(w.offset, w.offset + w.bytes)) })),
    }));
    plan.weights = { ...plan.weights, bytes: bytes.length, sha256: sha256(bytes) };
  }
  change.plan?.(plan);
  writeFileSync(join(copy, 'plan.json'), JSON.stringify(plan));
  return copy;
}

async function outcome(plan: string): Promise<{ exitCode: number; result: VerifyResult; text: string }> {
  const answer = await verify({ plan, tokens: 3 });
  return { exitCode: answer.exitCode, result: answer.json() as VerifyResult, text: answer.text() };
}

describe('verify', () => {
  test('passes the plan as it is, and an untouched copy', async () => {
    await verified({ plan: good, tokens: 3 });
    expect((await outcome(tampered('copy', {}))).exitCode).toBe(0);
  });

  test('names the layer and op of a changed weight', async () => {
    const plan = tampered('weight', {
      weights: (values, { stages }) => {
        const blob = stages[3].weights.find((w) => w.shape.length === 2 && w.shape[0] > 1 && w.shape[1] > 1);
        if (blob === undefined) throw new Error('stage 3 has no matrix');
        for (let i = 0; i < 64; i++) values[blob.offset / 4 + i] += 0.25;
      },
    });
    const { exitCode, result, text } = await outcome(plan);
    expect(exitCode).toBe(3);
    expect(result.passed).toBe(false);
    expect(result.firstOut?.stage).toBe('s3');
    expect(text).toContain(result.firstOut?.node);
    // Ops before it are within their bounds.
    const before = result.ops.filter((o) => ['s0', 's1', 's2'].includes(o.stage));
    expect(before.length).toBeGreaterThan(10);
    for (const { maxRel, bound } of before) expect(maxRel).toBeLessThanOrEqual(bound);
  });

  test('a byte of weights.bin that the digests do not know of', async () => {
    const copy = join(folder, 'byte');
    cpSync(good, copy, { recursive: true });
    const bytes = readFileSync(join(copy, 'weights.bin'));
    bytes[bytes.length >> 1] ^= 1;
    writeFileSync(join(copy, 'weights.bin'), bytes);
    const { exitCode, result } = await outcome(copy);
    expect(exitCode).toBe(3);
    expect(result.checks.map((d) => d.code)).toEqual(expect.arrayContaining(['verify/W3', 'verify/W4']));
  });

  test('a buffer that lies on another', async () => {
    const plan = tampered('memory', {
      plan: (p) => {
        p.memory = p.memory.map((map) => {
          const [first, second, ...rest] = map.buffers;
          return { ...map, buffers: [first, { ...second, offset: first.offset }, ...rest] };
        });
      },
    });
    const { exitCode, result } = await outcome(plan);
    expect(exitCode).toBe(3);
    expect(result.checks.map((d) => d.code)).toContain('verify/F2');
  });

  test('a region outside of the fabric', async () => {
    const plan = tampered('region', {
      plan: (p) => {
        p.regions = p.regions.map((r) => ({ ...r, x: r.x + 1 }));
      },
    });
    expect((await outcome(plan)).result.checks.length).toBeGreaterThan(0);
    expect((await outcome(plan)).exitCode).toBe(3);
  });

  test('an op that computes something else', async () => {
    const plan = tampered('op', {
      plan: (p) => {
        p.templates = p.templates.map(({ name, program }) => ({
          name,
          program: {
            ...program,
            ops: program.ops.map((op) => (op.op === 'rope' ? { ...op, interleaved: !op.interleaved } : op)),
          },
        }));
      },
    });
    const { exitCode, result } = await outcome(plan);
    expect(exitCode).toBe(3);
    expect(result.firstOut?.stage).toBe('s1');
  });
});
