/** The plan, core by core, against the model's graph. */
import { outputBound } from '../driver/compare-ops.ts';
import type { Answer } from '../driver/contract.ts';
import { fail } from '../diag/diagnostic.ts';
import { compare } from '../exec/compare.ts';
import { table } from '../util/table.ts';
import { type EvaluateOptions, inputsOf } from './evaluate.ts';
import type { Model } from './model.ts';

/** Exit code 3 when an output differs by more than the order of additions explains. */
export function compareModes(model: Model, options: EvaluateOptions): Answer {
  const { placed } = model;
  if (placed === undefined)
    fail({
      code: 'runtime/not-placed',
      message: `${model.name} is not placed: there is nothing to compare its graph with`,
    });
  const inputs = inputsOf(model, options);
  const found = placed.run(inputs);
  const bound = outputBound(placed.open().plan);
  const outputs = Object.entries(model.reference(inputs)).map(([name, expected]) => {
    const { maxAbs, maxRel } = compare(found[name], expected);
    return { name, maxAbs, maxRel, bound };
  });
  const passed = outputs.every(({ maxRel }) => maxRel <= bound);
  return {
    exitCode: passed ? 0 : 3,
    diagnostics: [],
    text: () =>
      `placed against reference: ${passed ? 'the same within the bound' : 'DIFFERENT'}\n${table(
        ['output', 'max rel', 'max abs', 'bound'].map((head, i) => ({ head, align: i === 0 ? 'left' : 'right' })),
        outputs.map(({ name, ...numbers }) => [
          name,
          ...[numbers.maxRel, numbers.maxAbs, numbers.bound].map((n) => n.toExponential(1)),
        ]),
      )}`,
    json: () => ({ schema: 'wafc.compare/1', model: model.name, passed, outputs }),
  };
}
