/** Einsum of any number of operands. */
import type { Dim } from '../ir/dim.ts';
import { allocate, tensor } from '../tensor/tensor.ts';
import { defineOp, type OpDef } from './op.ts';
import { printShape } from './support/axes.ts';
import { broadcastDim } from './support/broadcast.ts';
import { contractAll, type Equation, parseEquation } from './support/einsum.ts';
import { commonDtype, operand, required, stored } from './support/elementwise.ts';

/** Extent of every label; `clash` is told of the first operand that disagrees with those before it. */
function extentsOf(
  equation: Equation,
  shapes: readonly (readonly Dim[])[],
  clash: (input: number, label: string) => never,
): Map<string, Dim> {
  const extents = new Map<string, Dim>();
  for (const [input, labels] of equation.inputs.entries()) {
    for (const [d, label] of labels.entries()) {
      const joined = broadcastDim(extents.get(label) ?? 1, shapes[input][d]);
      extents.set(label, joined ?? clash(input, label));
    }
  }
  return extents;
}

const einsum = defineOp({
  domain: '',
  name: 'Einsum',
  since: [12],
  trait: 'compute',
  infer(context) {
    const dtype = commonDtype(context);
    const shapes = context.inputs.map((_, i) => required(context, i).shape);
    const text = context.attrs.string('equation');
    const equation = parseEquation(
      text,
      shapes.map((s) => s.length),
    );
    if (typeof equation === 'string')
      return context.mismatch({ expected: 'an equation for the operands', found: `${text}: ${equation}` });
    const extents = extentsOf(equation, shapes, (input, label) =>
      context.mismatch({
        input,
        expected: `label ${label} of ${text} to agree with the other operands`,
        found: printShape(shapes[input]),
      }),
    );
    return { types: [{ dtype, shape: equation.output.map((label) => extents.get(label) ?? 1) }] };
  },
  run(context) {
    const operands = context.inputs.map((_, i) => operand(context, i));
    const equation = parseEquation(
      context.attrs.string('equation'),
      operands.map((t) => t.shape.length),
    );
    if (typeof equation === 'string') throw new RangeError(`Einsum: ${equation}`);
    const extents = extentsOf(
      equation,
      operands.map((t) => t.shape),
      (input, label) => {
        throw new RangeError(`Einsum: label ${label} of operand ${input}`);
      },
    ) as Map<string, number>;
    const { dtype } = operands[0];
    const sums = contractAll(equation, extents, operands);
    const out = allocate(dtype, sums.length);
    out.set(sums);
    return [
      tensor(
        dtype,
        equation.output.map((label) => extents.get(label) ?? 1),
        stored(dtype, out),
      ),
    ];
  },
});

export const ops: readonly OpDef[] = [einsum];
