/** Einstein summation: the equation, and contraction of operands pair by pair through {@link gemm}. */
import { sizeOf, type TensorData } from '../../tensor/tensor.ts';
import { gemm } from './gemm.ts';

/** Labels are single letters; the dims of an ellipsis are '0', '1', .. counted from its last dim. */
export interface Equation {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
}

/** Reads `equation` for operands of the given ranks; a string says what is wrong with it. */
export function parseEquation(equation: string, ranks: readonly number[]): Equation | string {
  const [left, right] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  if (terms.length !== ranks.length) return `${terms.length} terms for ${ranks.length} operands`;
  let spread = 0;
  for (const [i, term] of terms.entries()) {
    if (term.includes('...')) spread = Math.max(spread, ranks[i] - (term.length - 3));
  }
  const inputs: string[][] = [];
  for (const [i, term] of terms.entries()) {
    const hidden = term.includes('...') ? ranks[i] - (term.length - 3) : 0;
    if (hidden < 0 || (!term.includes('...') && term.length !== ranks[i])) return `term ${term} for rank ${ranks[i]}`;
    const labels = expand(term, hidden);
    if (labels === undefined) return `term ${term}`;
    inputs.push(labels);
  }
  if (right !== undefined) {
    const output = expand(right, right.includes('...') ? spread : 0);
    const missing = output?.find((label) => !inputs.some((t) => t.includes(label)));
    return output === undefined || missing !== undefined ? `output term ${right}` : { inputs, output };
  }
  // Implicit output: the ellipsis, then every letter that occurs once, in alphabetical order.
  const all = inputs.flat().filter((label) => !/\d/.test(label));
  const once = all.filter((label) => all.indexOf(label) === all.lastIndexOf(label)).sort();
  return { inputs, output: [...hiddenLabels(spread), ...once] };
}

const hiddenLabels = (count: number): string[] => Array.from({ length: count }, (_, i) => String(count - 1 - i));

function expand(term: string, hidden: number): string[] | undefined {
  const [before, after, more] = term.split('...');
  if (more !== undefined || !/^[A-Za-z]*$/.test(before + (after ?? ''))) return undefined;
  return after === undefined ? [...before] : [...before, ...hiddenLabels(hidden), ...after];
}

/** A strided view with one label per dim, no label twice. */
interface Labelled {
  readonly data: TensorData;
  readonly labels: readonly string[];
  readonly strides: readonly number[];
}

/** Evaluates an equation; `extents` gives the full extent of every label. The result is dense, in double. */
export function contractAll(
  { inputs, output }: Equation,
  extents: ReadonlyMap<string, number>,
  operands: readonly { readonly data: TensorData; readonly shape: readonly number[] }[],
): Float64Array {
  const views = operands.map((t, i) => labelled(t.data, t.shape, inputs[i]));
  let acc = views[0];
  for (let i = 1; i < views.length; i++) {
    const needed = new Set([...output, ...inputs.slice(i + 1).flat()]);
    acc = contract(acc, views[i], needed, extents);
  }
  return gather(acc, output, extents);
}

/** A label that occurs twice walks the diagonal; an extent of 1 broadcasts. */
function labelled(data: TensorData, shape: readonly number[], labels: readonly string[]): Labelled {
  const strides = new Map<string, number>();
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides.set(labels[d], (strides.get(labels[d]) ?? 0) + (shape[d] === 1 ? 0 : step));
    step *= shape[d];
  }
  const unique = [...new Set(labels)];
  return { data, labels: unique, strides: unique.map((label) => strides.get(label) ?? 0) };
}

/** Dense elements of `t` in the order of `labels`, summed over its other labels. */
function gather(t: Labelled, labels: readonly string[], extents: ReadonlyMap<string, number>): Float64Array {
  const summed = t.labels.filter((label) => !labels.includes(label));
  const order = [...labels, ...summed];
  const shape = order.map((label) => extents.get(label) ?? 1);
  const strides = order.map((label) => (t.labels.includes(label) ? t.strides[t.labels.indexOf(label)] : 0));
  const group = sizeOf(shape.slice(labels.length));
  const out = new Float64Array(sizeOf(shape.slice(0, labels.length)));
  const total = out.length * group;
  const index = shape.map(() => 0);
  let at = 0;
  for (let o = 0, inGroup = 0, e = 0; e < total; e++) {
    out[o] += t.data[at];
    if (++inGroup === group) {
      inGroup = 0;
      o++;
    }
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d];
      if (++index[d] < shape[d]) break;
      at -= strides[d] * shape[d];
      index[d] = 0;
    }
  }
  return out;
}

function contract(
  a: Labelled,
  b: Labelled,
  needed: ReadonlySet<string>,
  extents: ReadonlyMap<string, number>,
): Labelled {
  const shared = a.labels.filter((label) => b.labels.includes(label));
  const batch = shared.filter((label) => needed.has(label));
  const inner = shared.filter((label) => !needed.has(label));
  const rows = a.labels.filter((label) => needed.has(label) && !shared.includes(label));
  const columns = b.labels.filter((label) => needed.has(label) && !shared.includes(label));
  const size = (labels: readonly string[]) => labels.reduce((n, label) => n * (extents.get(label) ?? 1), 1);
  const [m, n, k] = [size(rows), size(columns), size(inner)];
  const left = gather(a, [...batch, ...rows, ...inner], extents);
  const right = gather(b, [...batch, ...inner, ...columns], extents);
  const count = size(batch);
  const out = new Float64Array(count * m * n);
  for (let s = 0; s < count; s++) {
    gemm(
      m,
      n,
      k,
      { data: left, offset: s * m * k, rowStride: k, colStride: 1 },
      { data: right, offset: s * k * n, rowStride: n, colStride: 1 },
      { data: out, offset: s * m * n, rowStride: n, colStride: 1 },
    );
  }
  const labels = [...batch, ...rows, ...columns];
  return labelled(
    out,
    labels.map((label) => extents.get(label) ?? 1),
    labels,
  );
}
