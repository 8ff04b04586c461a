/** A diagnostic is data; text is one rendering of it, JSON another. */
export interface Term {
  readonly what: string;
  readonly bytes: number;
}
/** A change that was tried by running the check again, and fits. Never a guess. */
export interface Remedy {
  readonly flag: string;
  readonly effect: string;
}
export interface Diagnostic {
  /** `area/word`, listed in codes.ts and explained by `wafc explain`. */
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'remark';
  /** One line, no full stop; names the thing and the limit. */
  readonly message: string;
  /** ONNX node name. */
  readonly node?: string;
  /** `cores (12,0)..(15,7)`, `input 1`, `model.onnx byte 120`. */
  readonly where?: string;
  readonly shortfall?: { readonly need: number; readonly have: number; readonly terms: readonly Term[] };
  readonly notes?: readonly string[];
  readonly remedies?: readonly Remedy[];
}

/** Carries every diagnostic found; at least one of them is an error. The input's fault: exit 1. */
export class Diagnosed extends Error {
  readonly diagnostics: readonly Diagnostic[];
  constructor(diagnostics: readonly Diagnostic[]) {
    super(diagnostics.map((d) => `${d.severity}[${d.code}]: ${d.message}`).join('\n'));
    this.name = 'Diagnosed';
    this.diagnostics = diagnostics;
  }
}

export type Report = (diagnostic: Diagnostic) => void;

/** Throws one error diagnostic. */
export function fail(diagnostic: Omit<Diagnostic, 'severity'>): never {
  throw new Diagnosed([{ severity: 'error', ...diagnostic }]);
}
