/** Inputs from files of every kind; what is missing, ambiguous or broken is said. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FeedSpec, randomFeeds } from '../../src/exec/feeds-for.ts';
import { readFeeds } from '../../src/exec/read-feeds.ts';
import { addDims, sym } from '../../src/ir/dim.ts';
import { writeNpy } from '../../src/tensor/npy.ts';
import { writeNpz } from '../../src/tensor/npz.ts';
import { fromNumbers } from '../../src/tensor/tensor.ts';
import { temporaryFolder } from '../onnx/support.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const [B, S, P] = [sym('B'), sym('S'), sym('P')];
const DECODER: readonly FeedSpec[] = [
  { name: 'input_ids', dtype: 'i64', shape: [B, S], role: { kind: 'tokens' } },
  { name: 'mask', dtype: 'i64', shape: [B, addDims(P, S)], role: { kind: 'mask' } },
  { name: 'positions', dtype: 'i64', shape: [B, S], role: { kind: 'positions' } },
  { name: 'past.0', dtype: 'f32', shape: [B, 2, P, 4], role: { kind: 'past', cache: 0 } },
];
const PLAIN: readonly FeedSpec[] = ['x', 'y'].map((name) => ({
  name,
  dtype: 'f32',
  shape: [2],
  role: { kind: 'plain' },
}));
const ids = fromNumbers('i64', [1, 3], [5, 6, 7]);
const pair = fromNumbers('f32', [2], [1, 2]);

/** TensorProto of f32 [2]: dims, data_type, name, raw_data. */
const proto = (name: string): Uint8Array =>
  Buffer.concat([
    Buffer.from([0x08, 2, 0x10, 1]),
    name === '' ? Buffer.alloc(0) : Buffer.from([0x42, name.length, ...Buffer.from(name)]),
    Buffer.from([0x4a, 8]),
    Buffer.from(Float32Array.of(1, 2).buffer),
  ]);

writeNpy(at('ids.npy'), ids);
writeNpy(at('pair.npy'), pair);
writeNpz(
  at('both.npz'),
  new Map([
    ['x', pair],
    ['y', pair],
  ]),
);
writeFileSync(at('y.pb'), proto('y'));
writeFileSync(at('nameless.pb'), proto(''));
mkdirSync(at('case'));
writeFileSync(join(at('case'), 'input_0.pb'), proto('anything'));
writeFileSync(join(at('case'), 'input_1.pb'), proto(''));
writeFileSync(at('text.txt'), 'x');

describe('files', () => {
  test.each([
    [[at('both.npz')]],
    [[`x=${at('pair.npy')}`, at('y.pb')]],
    [[at('y.pb'), at('nameless.pb')]],
    [[`y=${at('nameless.pb')}`, at('pair.npy')]],
    [[at('case')]],
  ])('%j', (sources) => {
    const { feeds, filled } = readFeeds(sources, PLAIN);
    expect([...feeds.keys()].sort()).toEqual(['x', 'y']);
    for (const value of feeds.values()) expect(value).toEqual(pair);
    expect(filled).toEqual([]);
  });

  test('ids are enough for a decoder: the rest follows', () => {
    const { feeds, filled } = readFeeds([at('ids.npy')], DECODER);
    expect(filled).toEqual(['mask', 'positions', 'past.0']);
    expect([...(feeds.get('positions')?.data ?? [])]).toEqual([0, 1, 2]);
    expect([...(feeds.get('mask')?.data ?? [])]).toEqual([1, 1, 1]);
    expect(feeds.get('past.0')?.shape).toEqual([1, 2, 0, 4]);
  });
  test('a past that is given counts on', () => {
    writeNpz(at('past.npz'), new Map([['past.0', fromNumbers('f32', [1, 2, 2, 4], new Array(16).fill(0))]]));
    const { feeds, filled } = readFeeds([at('past.npz'), at('ids.npy')], DECODER);
    expect(filled).toEqual(['mask', 'positions']);
    expect([...(feeds.get('positions')?.data ?? [])]).toEqual([2, 3, 4]);
    expect(feeds.get('mask')?.shape).toEqual([1, 5]);
  });
});

test.each([
  [['none.npz'], 'none.npz does not exist'],
  [['text.txt'], 'is no .npz, .npy or .pb file'],
  [['pair.npy'], 'does not say which input it is'],
  [['both.npz', 'y.pb'], 'input y is given twice'],
  [['.'], 'has no input_0.pb'],
])('%j is refused', (files, message) => {
  expect(() => readFeeds(files.map(at), PLAIN)).toThrow(message);
});
test('more files than inputs', () => {
  expect(() => readFeeds([at('case')], PLAIN.slice(0, 1))).toThrow('input_1.pb: the model has 1 inputs');
});

test('random ids are below the rows of their own table', () => {
  const specs: readonly FeedSpec[] = [
    { name: 'ids', dtype: 'i64', shape: [B, S], role: { kind: 'tokens' }, below: 500 },
    { name: 'types', dtype: 'i64', shape: [B, S], role: { kind: 'tokens' }, below: 2 },
    { name: 'others', dtype: 'i64', shape: [B, S], role: { kind: 'tokens' } },
  ];
  const feeds = randomFeeds(specs, { batch: 2, sequence: 200, past: 0, vocabulary: 7, seed: 1 });
  const highest = specs.map(({ name }) => Math.max(...(feeds.get(name)?.data ?? [])));
  expect(highest[0]).toBeGreaterThan(400);
  expect(highest[0]).toBeLessThan(500);
  expect(highest.slice(1)).toEqual([1, 6]);
});

test('an archive is unpacked only where its tensors are inputs of the model, and as large as such can be', () => {
  const zeros = (length: number) => fromNumbers('i64', [1, length], new Array<number>(length).fill(0));
  writeNpz(at('long.npz'), new Map([['input_ids', zeros(20_000)]]));
  writeNpz(at('other.npz'), new Map([['foo', zeros(3)]]));
  expect(readFeeds([at('long.npz')], DECODER, 20_000).feeds.get('input_ids')?.shape).toEqual([1, 20_000]);
  expect(() => readFeeds([at('long.npz')], DECODER, 64)).toThrow(
    /input_ids has 160\d+ bytes, and a context of 64 takes/,
  );
  expect(() => readFeeds([at('other.npz')], DECODER)).toThrow('the model has no input foo');
});

test('ids that no row of their table has, and ids that are no sequences', () => {
  const specs = DECODER.map((spec) => (spec.role.kind === 'tokens' ? { ...spec, below: 100 } : spec));
  for (const id of [-1, 100]) {
    writeNpy(at('odd.npy'), fromNumbers('i64', [1, 2], [5, id]));
    expect(() => readFeeds([at('odd.npy')], specs)).toThrow(`input input_ids: expected ids of 0 to 99, found ${id}`);
  }
  writeNpy(at('flat.npy'), fromNumbers('i64', [2], [5, 6]));
  expect(() => readFeeds([at('flat.npy')], specs)).toThrow('expected token ids [batch, tokens], found a shape of [2]');
});
