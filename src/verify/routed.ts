/** What the verifiers of routes take, and how they say what they find. */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { With } from '../ir/facts.ts';

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

export const brokenRoute = (rule: string, message: string, where?: string): Diagnostic => ({
  code: `verify/${rule}`,
  severity: 'error',
  message,
  ...(where === undefined ? {} : { where }),
});
