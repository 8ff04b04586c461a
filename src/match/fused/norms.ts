/** Norms, embeddings, activations and products that onnxruntime fuses, as the plain ops they stand for. */
import type { ValueId } from '../../ir/ids.ts';
import type { Expansion } from './expansion.ts';

const epsilonOf = (x: Expansion): number => x.number('epsilon', 1e-12);

/** Two activations and a bias, which belongs to the product among them. */
function residual(x: Expansion, bias: ValueId | null): ValueId {
  const [a, b] = [x.input(0), x.input(1)];
  if (bias === null) return x.op('Add', [a, b]);
  const producer = x.edit.producerOf(b);
  const isProduct = producer !== undefined && x.edit.op(producer).kind === 'MatMul';
  return isProduct ? x.op('Add', [a, x.op('Add', [b, bias])]) : x.op('Add', [x.op('Add', [a, bias]), b]);
}

export function skipLayerNorm(x: Expansion): void {
  if (x.isUsed(1) || x.isUsed(2)) x.refuse('its mean and deviation as outputs');
  const sum = residual(x, x.optional(4));
  const beta = x.optional(3);
  const norm = x.op('LayerNormalization', [sum, x.input(2), ...(beta === null ? [] : [beta])], {
    axis: -1,
    epsilon: epsilonOf(x),
  });
  x.gives(0, norm);
  x.gives(3, sum);
}

export function skipRmsNorm(x: Expansion): void {
  if (x.isUsed(1) || x.isUsed(2)) x.refuse('its mean and deviation as outputs');
  const sum = residual(x, x.optional(3));
  x.gives(0, x.op('RMSNormalization', [sum, x.input(2)], { axis: -1, epsilon: epsilonOf(x) }));
  x.gives(3, sum);
}

/** Words, segments and positions looked up and added in the order of BERT, then normalised. */
export function embedNorm(x: Expansion): void {
  const [ids, segments, mask] = [x.input(0), x.optional(1), x.optional(7)];
  const gather = (table: number, rows: ValueId): ValueId => x.op('Gather', [x.input(table), rows], { axis: 0 });
  let sum = gather(2, ids);
  if (x.optional(4) !== null) sum = x.op('Add', [sum, gather(4, segments ?? x.op('Sub', [ids, ids]))]);
  const positions = x.optional(8) ?? x.unsqueeze(x.countTo(x.extent(ids, 1)), 0);
  sum = x.op('Add', [sum, gather(3, positions)]);
  const attrs = { axis: -1, epsilon: epsilonOf(x) };
  x.gives(0, x.op('LayerNormalization', [sum, x.input(5), x.input(6)], attrs));
  if (x.isUsed(1)) {
    // How many tokens of each row the mask keeps; 0 without a mask.
    const kept = mask ?? x.op('Sub', [ids, ids]);
    x.gives(1, x.castTo(x.op('ReduceSum', [kept, x.ints(1)], { keepdims: 0 }), 'i32'));
  }
  x.gives(2, sum);
}

/** Gelu of x, plus a bias where there is one. */
export const gelu =
  (approximate: 'none' | 'tanh') =>
  (x: Expansion): void => {
    const bias = x.optional(1);
    const input = bias === null ? x.input(0) : x.op('Add', [x.input(0), bias]);
    x.gives(0, x.op('Gelu', [input], { approximate }));
  };

/** x * sigmoid(alpha x): SiLU for alpha 1. */
export function quickGelu(x: Expansion): void {
  const alpha = x.number('alpha', 1.702);
  const v = x.input(0);
  if (alpha === 1) return x.gives(0, x.op('wafc.silu', [v]));
  if (Math.abs(alpha - 1.702) < 1e-6) return x.gives(0, x.op('wafc.quick_gelu', [v]));
  const inner = x.op('Mul', [v, x.float(alpha, x.typeOf(v).dtype)]);
  x.gives(0, x.op('Mul', [v, x.op('Sigmoid', [inner])]));
}

export function fusedMatMul(x: Expansion): void {
  const side = (input: number, name: 'A' | 'B'): ValueId => {
    const v = x.input(input);
    const rank = x.rank(v);
    const perm = Array.from({ length: rank }, (_, d) => d);
    if (rank >= 2) {
      if (x.number(`transBatch${name}`, 0) === 1) perm.splice(rank - 2, 0, ...perm.splice(0, 1));
      if (x.number(`trans${name}`, 0) === 1) [perm[rank - 2], perm[rank - 1]] = [perm[rank - 1], perm[rank - 2]];
    }
    return perm.every((p, d) => p === d) ? v : x.op('Transpose', [v], { perm });
  };
  const product = x.op('MatMul', [side(0, 'A'), side(1, 'B')]);
  const alpha = x.number('alpha', 1);
  x.gives(0, alpha === 1 ? product : x.op('Mul', [product, x.float(alpha, x.typeOf(x.input(0)).dtype)]));
}

/** Gemm, then the activation it names, whose attributes have a prefix. */
export function fusedGemm(x: Expansion): void {
  const { activation, ...attrs } = x.source.attrs;
  if (typeof activation !== 'string') return x.refuse('no activation');
  const own = (name: string): boolean => name.startsWith('activation_');
  const entries = Object.entries(attrs);
  const c = x.optional(2);
  const product = x.op(
    'Gemm',
    [x.input(0), x.input(1), ...(c === null ? [] : [c])],
    Object.fromEntries(entries.filter(([name]) => !own(name))),
  );
  const rest = entries.filter(([name]) => own(name)).map(([name, value]) => [name.slice('activation_'.length), value]);
  x.gives(0, x.op(activation, [product], Object.fromEntries(rest)));
}
