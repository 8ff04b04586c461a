/** com.microsoft's activations: Gelu, BiasGelu, FastGelu, QuickGelu. */
import { sizeOf, type Tensor } from '../tensor/tensor.ts';
import { type AttrReader, defineOp, type InferContext, type OpDef } from './op.ts';
import { mayEqual, printShape } from './support/axes.ts';
import { mapTensor } from './support/elementwise.ts';
import { tensorAt, typeAt } from './support/inputs.ts';
import { gelu, geluTanh, sigmoid } from './support/special.ts';

function checkBias(context: InferContext): void {
  const width = typeAt(context, 0).shape.at(-1) ?? 1;
  const bias = context.inputs[1]?.shape;
  if (bias && (bias.length !== 1 || !mayEqual(bias[0], width))) {
    context.mismatch({ input: 1, expected: printShape([width]), found: printShape(bias) });
  }
}

/** f(x + bias); the bias, if any, is over the last axis. */
function biased(x: Tensor, bias: Tensor | undefined, f: (v: number) => number): Tensor {
  if (bias === undefined) return mapTensor(x, f);
  const width = sizeOf(bias.shape);
  let at = 0;
  return mapTensor(x, (v) => {
    const out = f(v + bias.data[at]);
    at = at + 1 === width ? 0 : at + 1;
    return out;
  });
}

const activation = (name: string, f: (attrs: AttrReader) => (x: number) => number): OpDef =>
  defineOp({
    domain: 'com.microsoft',
    name,
    since: [1],
    trait: 'elementwise',
    infer(context) {
      checkBias(context);
      return { types: [typeAt(context, 0)] };
    },
    run: (context) => [biased(tensorAt(context, 0), context.inputs[1], f(context.attrs))],
  });

export const ops = [
  activation('Gelu', () => gelu),
  activation('BiasGelu', () => gelu),
  activation('FastGelu', () => geluTanh),
  activation('QuickGelu', (attrs) => {
    const alpha = attrs.float('alpha', 1.702);
    return (x) => x * sigmoid(alpha * x);
  }),
];
