/** Diagnostics that kernels throw. */
import { fail } from '../../diag/diagnostic.ts';

/** A value met at run time that the op is not defined for: an index out of range, an integer division by zero. */
export const badValue = (op: string, message: string): never =>
  fail({ code: 'run/bad-value', message: `${op}: ${message}` });

/** A form of the op that is valid ONNX and not supported here. */
export const unsupported = (op: string, message: string): never =>
  fail({ code: 'todo/op-form', message: `${op}: ${message}` });
