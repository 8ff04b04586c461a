/**
 * Narrow floats with scales: FP8 by row, group or tensor; the OCP microscaling formats; NVFP4 (compression.md section 1.8). Elements are
 * rounded to nearest even and saturate.
 */
import { roundTo } from '../tensor/pack.ts';
import { type FloatFormat, type MicroFormat, MX_BLOCK, NVFP4_BLOCK } from './format.ts';
import { groupSize, roundEven, storeScales } from './grids.ts';
import { groupsOf, type Matrix, type QuantizedMatrix } from './matrix.ts';

const LARGEST = { f8e4m3fn: 448, f8e5m2: 57344, f4e2m1: 6, i8: 127 / 64 };
/** Exponent of the largest power of two that an element holds. */
const TOP_EXPONENT = { f8e4m3fn: 8, f4e2m1: 2, i8: 0 };

/** Largest magnitude of each group. */
function magnitudes({ rows, columns, values }: Matrix, group: number, shared: boolean): Float32Array {
  const perRow = groupsOf(columns, group);
  const out = new Float32Array(shared ? perRow : rows * perRow);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const at = shared ? g : row * perRow + g;
      let most = out[at];
      const end = row * columns + Math.min(columns, (g + 1) * group);
      for (let i = row * columns + g * group; i < end; i++) most = Math.max(most, Math.abs(values[i]));
      out[at] = most;
    }
  }
  return out;
}

/** Each weight over its group's scale. */
function scaled(
  { rows, columns, values }: Matrix,
  group: number,
  shared: boolean,
  scaleOf: (at: number) => number,
): Float32Array {
  const perRow = groupsOf(columns, group);
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const scale = scaleOf(shared ? g : row * perRow + g);
      const end = row * columns + Math.min(columns, (g + 1) * group);
      for (let i = row * columns + g * group; i < end; i++) out[i] = values[i] / scale;
    }
  }
  return out;
}

/** FP8: the largest magnitude of a group becomes the largest element; scales are f16. */
export function quantizeFloat8(matrix: Matrix, format: FloatFormat): QuantizedMatrix {
  const { rows, columns } = matrix;
  const group = groupSize(format.group, columns);
  const shared = format.group === 'tensor';
  const scales = storeScales(magnitudes(matrix, group, shared).map((most) => most / LARGEST[format.element]));
  const codes = roundTo(
    format.element,
    scaled(matrix, group, shared, (at) => scales[at]),
  );
  return { rows, columns, stored: format.element, codes, group, shared, scales, scaleType: 'f16', zeros: 0 };
}

/** Steps of 1/64: what the i8 elements of MXINT8 count. */
const MXINT8_STEP = 64;

/** MX: the shared exponent is that of the largest magnitude, rounded down, so the top of its binade saturates (OCP MX v1.0). */
export function quantizeMicro(matrix: Matrix, { element }: MicroFormat): QuantizedMatrix {
  const { rows, columns } = matrix;
  const group = Math.min(MX_BLOCK, columns);
  const exponents = magnitudes(matrix, group, false).map((most) =>
    most === 0 ? LEAST_EXPONENT : Math.max(LEAST_EXPONENT, exponentOf(most) - TOP_EXPONENT[element]),
  );
  const scales = exponents.map((e) => 2 ** e);
  const elements = scaled(matrix, group, false, (at) => scales[at]);
  if (element !== 'i8')
    return {
      rows,
      columns,
      stored: element,
      codes: roundTo(element, elements),
      group,
      shared: false,
      scales,
      scaleType: 'f8e8m0',
      zeros: 0,
    };
  const codes = Int8Array.from(elements, (x) => Math.min(127, Math.max(-127, roundEven(x * MXINT8_STEP))));
  // Codes are integers here, so the scale takes the step in; its exponent stays in range by the clamp above.
  return {
    rows,
    columns,
    stored: 'i8',
    codes,
    group,
    shared: false,
    scales: scales.map((s) => s / MXINT8_STEP),
    scaleType: 'f8e8m0',
    zeros: 0,
  };
}

/** E8M0 reaches down to 2^-127; six less room for the step of MXINT8. */
const LEAST_EXPONENT = -121;

/** floor(log2 x), exactly, for a normal positive f32. */
const exponentOf = (x: number): number => {
  bits[0] = x;
  return ((words[0] >>> 23) & 255) - 127;
};
const bits = new Float32Array(1);
const words = new Uint32Array(bits.buffer);

/** NVFP4: blocks of 16 with E4M3 scales, and one f32 for the tensor that brings those into range. */
export function quantizeNvfp4(matrix: Matrix): QuantizedMatrix {
  const { rows, columns, values } = matrix;
  const group = Math.min(NVFP4_BLOCK, columns);
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  const tensorScale = most === 0 ? 1 : Math.fround(most / (LARGEST.f4e2m1 * LARGEST.f8e4m3fn));
  const scales = roundTo(
    'f8e4m3fn',
    magnitudes(matrix, group, false).map((m) => m / (LARGEST.f4e2m1 * tensorScale)),
  );
  for (let g = 0; g < scales.length; g++) if (scales[g] === 0) scales[g] = 1;
  const codes = roundTo(
    'f4e2m1',
    scaled(matrix, group, false, (at) => Math.fround(scales[at] * tensorScale)),
  );
  return {
    rows,
    columns,
    stored: 'f4e2m1',
    codes,
    group,
    shared: false,
    scales,
    scaleType: 'f8e4m3fn',
    zeros: 0,
    tensorScale,
  };
}
