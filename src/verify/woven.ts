/** A weight in the order that a woven layout stores it in, from the definition of Woven (ir/program.ts); for verifiers. */
import { bytesSource, type Constant, denseConstant, elementCount } from '../ir/constant.ts';
import type { Woven } from '../ir/program.ts';
import { DTYPE_BITS } from '../ir/types.ts';
import { readPacked } from '../tensor/read.ts';

/** The matrix, copied, with its woven dim in stored order; a text where it cannot be. */
export function asWoven(matrix: Constant, woven: Woven | undefined): Constant | string {
  if (woven === undefined) return matrix;
  const { shape, stored, source } = matrix;
  const { dim, runs, lanes } = woven;
  const extent = shape[dim];
  if (extent % (runs * lanes) !== 0) return `expected ${runs} runs of ${lanes} lanes, found ${extent} elements`;
  const bits = DTYPE_BITS[stored];
  if (bits % 8 !== 0) return `expected woven elements of whole bytes, found ${stored}`;
  const bytes = bits / 8;
  const plain = new Uint8Array(elementCount(shape) * bytes);
  readPacked(matrix, [0, 0], [...shape], plain);
  const out = new Uint8Array(plain.length);
  const [rows, columns] = shape;
  const length = extent / runs / lanes;
  // Where the model has an element is where it goes from: run, lane and place in the lane, counted up.
  const places = new Int32Array(extent);
  let origin = 0;
  for (let run = 0; run < runs; run++)
    for (let lane = 0; lane < lanes; lane++)
      for (let f = 0; f < length; f++) places[origin++] = (run * length + f) * lanes + lane;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const [r, c] = dim === 0 ? [places[row], column] : [row, places[column]];
      const [from, to] = [(row * columns + column) * bytes, (r * columns + c) * bytes];
      for (let b = 0; b < bytes; b++) out[to + b] = plain[from + b];
    }
  return denseConstant(stored, shape, bytesSource(source.label, out));
}
