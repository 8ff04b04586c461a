/**
 * HQQ (Badri, Shaji 2023: half-quadratic quantization): zero points fitted to the weights alone, by shrinking the error towards a
 * p-norm of 0.7 and refitting; scales follow by least squares. Zero points are f16 numbers where groups are such as MatMulNBits has, else codes. Every group keeps its best iterate, its start included, so the fit
 * can not lose to it (compression.md section 1.3).
 */
import { roundTo } from '../tensor/pack.ts';
import type { IntegerFormat } from './format.ts';
import { codeRange, type Extremes, extremesOf, groupSize, roundEven, storeScales } from './grids.ts';
import { groupsOf, type Matrix, type QuantizedMatrix } from './matrix.ts';
import { quantizedOn } from './rtn.ts';

const ITERATIONS = 20;
const NORM = 0.7;
/** Weight of the quadratic term at the start, and its growth (the authors' values). */
const BETA = 10;
const KAPPA = 1.01;

/** Codes with fitted zero points; the format must be asymmetric. */
export function hqq(matrix: Matrix, format: IntegerFormat): QuantizedMatrix {
  if (format.grid !== 'asymmetric') throw new RangeError('hqq fits zero points: the grid must be asymmetric');
  const { rows, columns, values } = matrix;
  const group = groupSize(format.group, columns);
  const perRow = groupsOf(columns, group);
  const { high } = codeRange(format);
  const { scales, zeros } = startOf(extremesOf(matrix, group, false), high);
  const toZero = holdsFloatZeros(group) ? toHalf : (z: number): number => Math.min(high, Math.max(0, roundEven(z)));
  for (let g = 0; g < zeros.length; g++) zeros[g] = toZero(zeros[g]);
  const codes = new Uint8Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g < perRow; g++) {
      const [start, end] = [row * columns + g * group, row * columns + Math.min(columns, (g + 1) * group)];
      const at = row * perRow + g;
      const fitted = fitGroup(values, start, end, { scale: scales[at], zero: zeros[at] }, high, toZero);
      scales[at] = fitted.scale;
      zeros[at] = fitted.zero;
      for (let i = start; i < end; i++) codes[i] = encodeFloat(values[i], scales[at], zeros[at], high);
    }
  }
  const grid = { group, shared: false, scales, zeros };
  const quantized = quantizedOn(matrix, format, grid, codes);
  return holdsFloatZeros(group) ? { ...quantized, zeroType: 'f16' } : quantized;
}

/** MatMulNBits alone takes zero points between codes, and it has kernels for blocks of these sizes. */
export const holdsFloatZeros = (group: number): boolean =>
  group >= 16 && group <= 256 && Number.isInteger(Math.log2(group));

/** The grid of each group's own least and largest weight: zero need not be on it. */
function startOf({ low, high }: Extremes, levels: number): { scales: Float32Array; zeros: Float32Array } {
  const scales = storeScales(low.map((least, g) => (high[g] - least) / levels));
  // A group of equal weights has no spread: its scale is the weight itself, at code 1.
  for (let g = 0; g < scales.length; g++) if (low[g] === high[g] && low[g] !== 0) scales[g] = low[g];
  storeScales(scales);
  const zeros = roundTo(
    'f16',
    low.map((least, g) => (least === high[g] ? 0 : -least / scales[g])),
  );
  return { scales, zeros };
}

/** Codes with a zero point between integers: the sum is rounded, not the quotient. */
function encodeFloat(w: number, scale: number, zero: number, high: number): number {
  const q = roundEven(w / scale + zero);
  return q < 0 ? 0 : q > high ? high : q;
}

const half = new Float32Array(1);
function toHalf(x: number): number {
  half[0] = x;
  roundTo('f16', half);
  return half[0];
}

/**
 * The scale and zero point of least squared error among the iterates. After each step of HQQ for the zero point, the scale is the least
 * squares one for the codes of the step.
 */
function fitGroup(
  values: Float32Array,
  start: number,
  end: number,
  first: { readonly scale: number; readonly zero: number },
  high: number,
  toZero: (z: number) => number,
): { readonly scale: number; readonly zero: number } {
  let [best, at] = [first, first];
  let least = errorOf(values, start, end, first, high);
  let beta = BETA;
  for (let step = 0; step < ITERATIONS && least > 0; step++) {
    const { scale, zero } = at;
    const zeroBelow = beta ** (1 / (NORM - 2));
    let sum = 0;
    for (let i = start; i < end; i++) {
      const w = values[i];
      const q = encodeFloat(w, scale, zero, high);
      sum += q - (w - shrink(w - (q - zero) * scale, beta, zeroBelow)) / scale;
    }
    const moved = toZero(sum / (end - start));
    let [product, square] = [0, 0];
    for (let i = start; i < end; i++) {
      const d = encodeFloat(values[i], scale, moved, high) - moved;
      product += d * values[i];
      square += d * d;
    }
    const fitted = toHalf(product / square);
    // A scale that is 0 or no number is none.
    at = { scale: Number.isFinite(fitted) && fitted !== 0 ? fitted : scale, zero: moved };
    beta *= KAPPA;
    const found = errorOf(values, start, end, at, high);
    if (found >= least) continue;
    least = found;
    best = at;
  }
  return best;
}

/** The proximal step of the p-norm. */
function shrink(x: number, beta: number, zeroBelow: number): number {
  const size = Math.abs(x);
  if (size < zeroBelow) return 0; // spares the power: nearly all errors are so small
  const kept = size - size ** (NORM - 1) / beta;
  return kept > 0 ? Math.sign(x) * kept : 0;
}

function errorOf(
  values: Float32Array,
  start: number,
  end: number,
  { scale, zero }: { readonly scale: number; readonly zero: number },
  high: number,
): number {
  let sum = 0;
  for (let i = start; i < end; i++) {
    const w = values[i];
    sum += ((encodeFloat(w, scale, zero, high) - zero) * scale - w) ** 2;
  }
  return sum;
}
