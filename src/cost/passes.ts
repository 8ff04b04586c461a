/** SIMD passes over a vector that an elementwise function takes. All assumed, from the exponential and the division. */
import type { BinaryFn, UnaryFn } from '../ir/program.ts';
import { DIVIDE_PASSES, EXP_PASSES } from './constants.ts';

/** 1 / (1 + exp(-x)). */
const SIGMOID = EXP_PASSES + 1 + DIVIDE_PASSES;

const UNARY: Readonly<Record<UnaryFn, number>> = {
  relu: 1,
  neg: 1,
  abs: 1,
  scale: 1,
  shift: 1,
  leaky_relu: 2,
  exp: EXP_PASSES,
  sqrt: DIVIDE_PASSES,
  reciprocal: DIVIDE_PASSES,
  sigmoid: SIGMOID,
  silu: SIGMOID + 1,
  gelu_quick: SIGMOID + 2,
  tanh: SIGMOID + 2,
  gelu_tanh: SIGMOID + 7,
  // Abramowitz and Stegun 7.1.26: a division, five multiply-adds, an exponential.
  erf: DIVIDE_PASSES + EXP_PASSES + 7,
  gelu: DIVIDE_PASSES + EXP_PASSES + 10,
  softplus: 2 * EXP_PASSES,
  pow: 2 * EXP_PASSES + 1,
};

export const unaryPasses = (fn: UnaryFn): number => UNARY[fn];
/** Rounding: times the inverse, rounded, cut off, times the scale. */
const ROUND_PASSES = 4;
export const binaryPasses = (fn: BinaryFn): number =>
  fn === 'div' ? DIVIDE_PASSES : fn === 'round8' ? ROUND_PASSES : 1;
