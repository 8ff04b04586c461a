/** Shape rules of the views over symbolic dims. */
import { describe, expect, test } from 'vitest';
import { inferred } from './support.ts';

const X = '(%x: f32[B,S,64])';

describe('Reshape', () => {
  const reshape = (input: string, target: string, attrs = '') =>
    inferred(
      `(%x: f32[${input}]) -> %y`,
      `%t = const i64[${target.split(',').length}] [${target}]\n%y: f32[] = Reshape %x, %t ${attrs}`,
    ).y;
  test('splits a dim', () => expect(reshape('B,S,64', '0,0,4,16')).toBe('f32[B,S,4,16]'));
  test('solves -1 over symbols', () => expect(reshape('B,S,64', '-1,8')).toBe('f32[8*B*S,8]'));
  test('solves -1 behind copied dims', () => expect(reshape('B,S,4,16', '0,0,-1')).toBe('f32[B,S,64]'));
  test('0 is an extent with allowzero', () => expect(reshape('0,3', '3,0', '{allowzero=1}')).toBe('f32[3,0]'));
  test('a quotient that is not exact is a fresh symbol', () =>
    expect(reshape('S', '-1,3')).toMatch(/^f32\[reshape\.\d+,3\]$/));
  test('a target of the wrong size is refused', () => {
    expect(() => reshape('2,3', '4,2')).toThrow('as many elements as in [4,2], found [2,3]');
  });
  test('a target known at run time only keeps the rank', () => {
    const { y } = inferred('(%x: f32[B,64], %t: i64[3]) -> %y', '%y: f32[] = Reshape %x, %t');
    expect(y).toMatch(/^f32\[reshape\.\d+,reshape\.\d+,reshape\.\d+\]$/);
  });
});

describe('Slice', () => {
  const slice = (input: string, start: string, end: string, step = '1') =>
    inferred(
      `(%x: f32[${input}]) -> %y`,
      `%s = const i64[1] [${start}]\n%e = const i64[1] [${end}]\n%a = const i64[1] [0]\n%k = const i64[1] [${step}]\n%y: f32[] = Slice %x, %s, %e, %a, %k`,
    ).y;
  const MAX = String(2n ** 63n - 1n);
  test('clamps', () => expect(slice('10', '2', MAX)).toBe('f32[8]'));
  test('counts from the end', () => expect(slice('10', '-3', '-1')).toBe('f32[2]'));
  test('steps back', () => expect(slice('10', '-1', `-${MAX}`, '-1')).toBe('f32[10]'));
  test('steps back by three', () => expect(slice('10', '8', '0', '-3')).toBe('f32[3]'));
  test('of a symbol: all but the first', () => expect(slice('S', '1', MAX)).toBe('f32[S - 1]'));
  test('of a symbol: the last', () => expect(slice('S', '-1', MAX)).toBe('f32[1]'));
  test('of a symbol: reversed', () => expect(slice('S', '-1', `-${MAX}`, '-1')).toBe('f32[S]'));
  test('empty', () => expect(slice('10', '7', '3')).toBe('f32[0]'));
});

test.each([
  ['Transpose', '%y: f32[] = Transpose %x {perm=[0,2,1]}', 'f32[B,64,S]'],
  ['Flatten', '%y: f32[] = Flatten %x {axis=2}', 'f32[B*S,64]'],
  ['Unsqueeze', '%a = const i64[2] [1, -1]\n%y: f32[] = Unsqueeze %x, %a', 'f32[B,1,S,64,1]'],
  ['Gather', '%i = const i64[] 3\n%y: f32[] = Gather %x, %i {axis=2}', 'f32[B,S]'],
  ['Concat', '%y: f32[] = Concat %x, %x {axis=1}', 'f32[B,2*S,64]'],
  ['Expand', '%t = const i64[4] [3, 1, 1, 64]\n%y: f32[] = Expand %x, %t', 'f32[3,B,S,64]'],
  ['Tile', '%r = const i64[3] [1, 2, 1]\n%y: f32[] = Tile %x, %r', 'f32[B,2*S,64]'],
  ['Pad', '%p = const i64[6] [0, 1, 0, 0, 2, 0]\n%y: f32[] = Pad %x, %p', 'f32[B,S + 3,64]'],
  ['Where', '%c = const bool[1] [1]\n%y: f32[] = Where %c, %x, %x', 'f32[B,S,64]'],
  ['Trilu', '%y: f32[] = Trilu %x', 'f32[B,S,64]'],
])('%s', (_, body, expected) => expect(inferred(`${X} -> %y`, body).y).toBe(expected));

test('Split gives each part its extent', () => {
  const body = '%p = const i64[2] [16, 48]\n%a: f32[], %b: f32[] = Split %x, %p {axis=-1}';
  expect(inferred(`${X} -> %a, %b`, body)).toEqual({ a: 'f32[B,S,16]', b: 'f32[B,S,48]' });
});

test('Split 18 makes the last part smaller', () => {
  const body = '%a: f32[], %b: f32[], %c: f32[] = Split %x {axis=0, num_outputs=3}';
  expect(inferred('(%x: f32[7]) -> %a, %b, %c', body)).toEqual({ a: 'f32[3]', b: 'f32[3]', c: 'f32[1]' });
});

test('a disagreement names what was expected and what was found', () => {
  expect(() => inferred('(%x: f32[2,3], %z: f32[2,4]) -> %y', '%y: f32[] = Concat %x, %z {axis=0}')).toThrow(
    'Concat expects f32[2,3] but for axis 0, found f32[2,4]',
  );
});
