/** Elementwise functions of region programs, in doubles. */
import { codeOf } from './codes.ts';
import type { BinaryFn, UnaryFn } from '../../ir/program.ts';

export const UNARY: Readonly<Record<UnaryFn, (x: number, value: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: (x) => Math.tanh(x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  gelu_quick: (x) => x / (1 + Math.exp(-1.702 * x)),
  neg: (x) => -x,
  exp: (x) => Math.exp(x),
  sqrt: (x) => Math.sqrt(x),
  reciprocal: (x) => 1 / x,
  erf,
  softplus: (x) => (x > 20 ? x : Math.log1p(Math.exp(x))),
  abs: (x) => Math.abs(x),
  leaky_relu: (x, slope) => (x < 0 ? slope * x : x),
  scale: (x, factor) => x * factor,
  shift: (x, by) => x + by,
  pow: (x, exponent) => x ** exponent,
};

export const BINARY: Readonly<Record<BinaryFn, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  round8: (a, b) => (b === 0 ? 0 : codeOf(a, b) * b),
};

/** erf by its Maclaurin series below 3 and the continued fraction of erfc above: 1e-15 relative. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * sum * (2 / Math.sqrt(Math.PI));
  }
  let fraction = 0;
  for (let k = 60; k >= 1; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}
