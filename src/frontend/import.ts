/**
 * ONNX model -> graph. Nodes become ops of the same name at the opset version they were written for; nothing is rewritten
 * here beyond inlining model-local functions. Order is by depth-first search from the outputs, so it does not
 * depend on the order of nodes in the file. All faults are reported at once.
 */
import { Diagnosed, type Diagnostic } from '../diag/diagnostic.ts';
import { bindDim, type Dim, isKnown } from '../ir/dim.ts';
import type { Graph } from '../ir/graph.ts';
import { printType } from '../ir/types.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { openModel } from '../onnx/reader.ts';
import { inlineFunctions } from './functions.ts';
import { GraphImporter } from './graph-importer.ts';
import { inferTypes } from './infer.ts';
import { inferRoles, type Roles } from './roles.ts';

export interface ImportOptions {
  /** Numbers for symbolic dims of the model, by the name that the model (or B, S, P of the roles) gives them. */
  readonly bindings?: Readonly<Record<string, number>>;
}
export interface Imported {
  readonly graph: Graph;
  readonly roles: Roles;
  /** Warnings: what the model says and its ops do not bear out. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Opens and imports a model file.
 * @throws Diagnosed with every fault found: unreadable bytes, unsupported ops, types that disagree.
 */
export function importModel(path: string, options: ImportOptions = {}): Imported {
  return importOnnx(openModel(path), options);
}

/** Imports an opened model; see {@link importModel}. */
export function importOnnx(model: OnnxModel, options: ImportOptions = {}): Imported {
  const faults: Diagnostic[] = [];
  const { opsets } = model;
  const source = inlineFunctions(model);
  if (source.outputs.length === 0)
    faults.push({
      code: 'onnx/no-output',
      severity: 'error',
      message: `graph ${source.name || '(unnamed)'} has no outputs`,
    });
  const surroundings = { opsets, names: new Set<string>(), initializers: new Map() };
  const graph = new GraphImporter(source, surroundings, faults).run();
  if (faults.length > 0) throw new Diagnosed(mergeUnsupported(faults));
  const { renames, roles } = inferRoles(graph);
  const bindings: Record<string, Dim> = { ...renames };
  for (const [name, n] of Object.entries(options.bindings ?? {})) {
    bindings[name] = n;
    for (const [from, to] of Object.entries(renames))
      if (from === name && typeof to !== 'number') Object.assign(bindings, bindSymbol(to, n));
  }
  const typed = inferTypes(graph, resolveTwice(bindings));
  return { graph: typed, roles, diagnostics: checkOutputs(model, typed) };
}

/**
 * Outputs are as declared. Another element type cannot be meant; a wrong dim is common in exports, and harms nobody.
 * @throws Diagnosed `onnx/type-mismatch` for the former; returns warnings for the latter.
 */
function checkOutputs({ graph: { outputs } }: OnnxModel, graph: Graph): readonly Diagnostic[] {
  const found = outputs.flatMap(({ name, dtype, shape }, i): Diagnostic[] => {
    const type = graph.types[graph.outputs[i]];
    const sameDims =
      shape === undefined ||
      (shape.length === type.shape.length &&
        shape.every((n, d) => typeof n !== 'number' || !isKnown(type.shape[d]) || n === type.shape[d]));
    const sameType = dtype === undefined || dtype === type.dtype;
    if (sameType && sameDims) return [];
    const declared = `${dtype ?? '?'}[${shape?.map((n) => n ?? '?') ?? '..'}]`;
    return [
      {
        code: sameType ? 'onnx/output-shape' : 'onnx/type-mismatch',
        severity: sameType ? 'warning' : 'error',
        message: `graph output ${name}: expected ${declared} as declared, found ${printType(type)}`,
        where: `graph output ${i}`,
      },
    ];
  });
  if (found.some(({ severity }) => severity === 'error')) throw new Diagnosed(found);
  return found;
}

/** A model's name for a role dim binds the role's symbol, when the dim is that one symbol. */
function bindSymbol(dim: Dim, n: number): Record<string, Dim> {
  if (typeof dim === 'number' || dim.terms.size !== 1) return {};
  const [[name, coef]] = dim.terms;
  return coef === 1 ? { [name]: n } : {};
}

/** Renames may lead to symbols that are bound themselves. */
function resolveTwice(bindings: Record<string, Dim>): (dim: Dim) => Dim {
  const once = (dim: Dim): Dim => bindDim(dim, bindings);
  return (dim) => once(once(dim));
}

/** One diagnostic per missing op kind, with the number of nodes and the first of them. */
function mergeUnsupported(faults: readonly Diagnostic[]): Diagnostic[] {
  const byKey = new Map<string, { first: Diagnostic; count: number }>();
  for (const fault of faults) {
    const key = fault.code === 'onnx/unsupported-op' ? fault.message : `${fault.message} ${fault.node}`;
    const seen = byKey.get(key);
    if (seen) seen.count++;
    else byKey.set(key, { first: fault, count: 1 });
  }
  return [...byKey.values()].map(({ first, count }) =>
    count === 1
      ? first
      : {
          ...first,
          notes: [...(first.notes ?? []), `${count} nodes use it; the first is named above`],
        },
  );
}
