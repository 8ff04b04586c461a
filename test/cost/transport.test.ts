import { describe, expect, test } from 'vitest';
import { layerBound, optimalSide, tokenBound } from '../../src/cost/lower-bound.ts';
import { hostCycles, sendCost } from '../../src/cost/transport.ts';
import { loadTarget } from '../../src/target/load.ts';

const wse3 = loadTarget('wse3');

describe('region to region', () => {
  const from = { x: 0, y: 0, width: 10, height: 8 };
  test('neighbours on a shelf: each row straight on', () => {
    const cost = sendCost({ from, to: { x: 10, y: 0, width: 10, height: 8 }, bytes: 8 * 32 }, wse3);
    expect(cost).toMatchObject({ lanes: 8, wavelets: 8, share: 1, hops: 10 });
    expect(cost.cycles).toBe(8 + 10 + 5 + cost.terms[3].cycles);
    expect(cost.bound).toBe(1 + 5 + 7);
  });
  test('onto the next shelf: rows move down, in columns of their own', () => {
    const cost = sendCost({ from, to: { x: 0, y: 8, width: 10, height: 8 }, bytes: 8 * 32 }, wse3);
    expect(cost).toMatchObject({ share: 1, hops: 8 + 9 });
  });
  test('a narrow tall region has fewer columns than rows', () => {
    const tall = { x: 0, y: 0, width: 2, height: 20 };
    expect(sendCost({ from: tall, to: { ...tall, y: 20 }, bytes: 4 }, wse3).share).toBe(10);
  });
  test('farther is never cheaper', () => {
    const at = (x: number) => sendCost({ from, to: { x, y: 0, width: 10, height: 8 }, bytes: 512 }, wse3);
    expect(at(30).cycles - at(20).cycles).toBe(10);
    expect(at(30).bound).toBeLessThanOrEqual(at(30).cycles);
  });
});

test('host: 5 us and 1.2 Tb/s at 1 GHz', () => {
  expect(hostCycles(0, 1, wse3)).toBe(5000);
  expect(hostCycles(150_000, 1, wse3)).toBe(6000);
});

describe('by hand: Llama-3.1-8B on the whole WSE-3 at 1 GHz (hardware notes, section 5)', () => {
  const attention = 2 * 4096 * 4096;
  const layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + attention;
  test('side and layer', () => {
    expect(Math.round(optimalSide(layer, 10, 8))).toBe(185);
    const { distance, compute } = layerBound({ macs: layer, collectives: 10, macsPerCycle: 8 }, 155);
    expect(Math.abs(distance + compute - 2860)).toBeLessThanOrEqual(1);
    expect(optimalSide(layer, 0, 8)).toBe(Number.POSITIVE_INFINITY);
  });
  test('SRAM and compute', () => {
    const cores = 755 * 1170;
    const macs = 7.504e9 + 32 * attention; // without the embedding table
    const { sram, compute } = tokenBound({ weightBytes: 2 * 7.504e9, macs, cores }, wse3);
    expect(sram / 1000).toBeCloseTo(1.06, 2);
    expect(compute / 1000).toBeCloseTo(1.21, 2);
  });
});
