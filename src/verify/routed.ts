/** What the verifiers of routes take, and how they say what they find. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Program, With } from '../ir/facts.ts';
import type { ValueId } from '../ir/ids.ts';

/** What stages hand over, by the names that transports use; null = a cache, which stays on the cores. */
export interface StageValues {
  readonly inputs: readonly (string | null)[];
  readonly outputs: readonly (string | null)[];
}

export type RoutedProgram = Pick<
  With<'stages' | 'mapping' | 'placement' | 'routing'>,
  'target' | 'mode' | 'stages' | 'mapping' | 'placement' | 'routing'
> &
  Partial<Pick<With<'schedule'>, 'schedule'>> & {
    readonly values: {
      readonly stages: readonly StageValues[];
      /** What the host takes from the wafer. */
      readonly results: ReadonlySet<string>;
    };
  };

/** The values of a program with a graph, by their names there. */
export function valuesOf({
  graph,
  stages,
  mapping,
}: Pick<Program, 'graph'> & With<'stages' | 'mapping'>): RoutedProgram['values'] {
  const nameOf = (v: ValueId, kept: boolean): string | null => (kept ? graph.names[v] : null);
  const host = stages.host.flatMap((op) => graph.ops[op].inputs.filter((v) => v !== null));
  return {
    stages: stages.stages.map(({ template, inputs, outputs }) => {
      const program = mapping.programs[template];
      return {
        inputs: inputs.map((v, i) => nameOf(v, program.inputs[i] !== null)),
        outputs: outputs.map((v, i) => nameOf(v, program.outputs[i] !== null)),
      };
    }),
    results: new Set([...graph.outputs, ...host].map((v) => graph.names[v])),
  };
}

export const brokenRoute = (rule: string, message: string, where?: string): Diagnostic => ({
  code: `verify/${rule}`,
  severity: 'error',
  message,
  ...(where === undefined ? {} : { where }),
});
