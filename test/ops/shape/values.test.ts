/** Integer values followed through shape code, over symbols. */
import { expect, test } from 'vitest';
import { inferred } from './support.ts';

const X = '(%x: f32[B,S,64])';
const value = (body: string, header = X): string => inferred(`${header} -> %y`, body).y;

test('the shape that an exporter computes for a split into heads', () => {
  const body = `
    %shape: i64[] = Shape %x
    %zero = const i64[] 0
    %one = const i64[] 1
    %axis = const i64[1] [0]
    %b: i64[] = Gather %shape, %zero
    %s: i64[] = Gather %shape, %one
    %b1: i64[] = Unsqueeze %b, %axis
    %s1: i64[] = Unsqueeze %s, %axis
    %heads = const i64[2] [4, 16]
    %target: i64[] = Concat %b1, %s1, %heads {axis=0}
    %r: f32[] = Reshape %x, %target
    %y: f32[] = Transpose %r {perm=[0,2,1,3]}`;
  expect(value(body)).toBe('f32[B,4,S,16]');
});

test.each([
  ['Shape, part of it', '%y: i64[] = Shape %x {start=1}', 'i64[2] = [S, 64]'],
  ['Size', '%y: i64[] = Size %x', 'i64[] = [64*B*S]'],
  [
    'Slice',
    '%h: i64[] = Shape %x\n%s = const i64[1] [-2]\n%e = const i64[1] [9]\n%y: i64[] = Slice %h, %s, %e',
    'i64[2] = [S, 64]',
  ],
  ['Split', '%h: i64[] = Shape %x\n%y: i64[], %r: i64[] = Split %h {axis=0, num_outputs=2}', 'i64[2] = [B, S]'],
  ['Squeeze', '%h: i64[] = Shape %x {end=1}\n%y: i64[] = Squeeze %h', 'i64[] = [B]'],
  [
    'ConstantOfShape',
    '%t = const i64[1] [3]\n%y: i64[] = ConstantOfShape %t {value=const i64[1] [7]}',
    'i64[3] = [7, 7, 7]',
  ],
  [
    'Expand',
    '%h: i64[] = Shape %x {start=1, end=2}\n%t = const i64[1] [2]\n%y: i64[] = Expand %h, %t',
    'i64[2] = [S, S]',
  ],
  [
    'Range',
    '%a = const i64[] 2\n%b = const i64[] 9\n%c = const i64[] 3\n%y: i64[] = Range %a, %b, %c',
    'i64[3] = [2, 5, 8]',
  ],
  [
    'Where over Equal to -1',
    `%t = const i64[2] [-1, 5]
     %m = const i64[1] [-1]
     %h: i64[] = Shape %x {end=2}
     %c: bool[] = Equal %t, %m
     %y: i64[] = Where %c, %h, %t`,
    'i64[2] = [B, 5]',
  ],
  [
    'ScatterND',
    '%h: i64[] = Shape %x\n%i = const i64[1,1] [2]\n%u = const i64[1] [8]\n%y: i64[] = ScatterND %h, %i, %u',
    'i64[3] = [B, S, 8]',
  ],
  ['Pad', '%h: i64[] = Shape %x\n%p = const i64[2] [1, 0]\n%y: i64[] = Pad %h, %p', 'i64[4] = [0, B, S, 64]'],
])('%s', (_, body, expected) => expect(value(body)).toBe(expected));

test('a Range over symbols has their difference as extent', () => {
  const body = `
    %p: i64[] = Shape %x {start=0, end=1}
    %t: i64[] = Shape %x {start=1, end=2}
    %a: i64[] = Squeeze %p
    %b: i64[] = Squeeze %t
    %one = const i64[] 1
    %y: i64[] = Range %a, %b, %one`;
  expect(value(body, '(%x: f32[P,P + S])')).toBe('i64[S]');
});

test('floats are never taken for shapes', () => {
  expect(value('%t = const f32[2] [1, 2]\n%y: f32[] = Concat %t, %t {axis=0}')).toBe('f32[4]');
});
