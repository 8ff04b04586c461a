/** Outcomes of suites of node tests, counted: for each suite, for the ops wafc has, and for the ops of transformers. */
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { OnnxGraph } from '../../src/onnx/model.ts';
import { openModel } from '../../src/onnx/reader.ts';
import { kindOf } from '../../src/ops/op.ts';
import { opFor } from '../../src/ops/registry.ts';
import { nodeTests, type Outcome, runNodeTest } from './node-suite.ts';

export interface NodeTest {
  /** Path below the folder of suites. */
  readonly name: string;
  readonly outcome: Outcome;
  /** Kinds of its nodes, bodies included. */
  readonly kinds: ReadonlySet<string>;
  readonly nodes: number;
}

/** Runs every test of a suite. */
export function runSuite(root: string, suite: string): readonly NodeTest[] {
  return nodeTests(join(root, suite)).map((folder) => {
    const { kinds, nodes } = opsOf(join(folder, 'model.onnx'));
    return { name: relative(root, folder), outcome: runNodeTest(folder), kinds, nodes };
  });
}

/** Kinds of the nodes of a model, its bodies and functions included, and the number of nodes of its main graph. */
export function opsOf(path: string): { readonly kinds: ReadonlySet<string>; readonly nodes: number } {
  const model = openModel(path);
  const kinds = new Set<string>();
  const local = new Set(model.functions.map(({ domain, name }) => kindOf(domain, name)));
  const visit = ({ nodes }: Pick<OnnxGraph, 'nodes'>): void => {
    for (const { domain, opType, attributes } of nodes) {
      if (!local.has(kindOf(domain, opType))) kinds.add(kindOf(domain, opType));
      for (const a of attributes.values()) if (a.kind === 'graph') visit(a.value);
    }
  };
  visit(model.graph);
  for (const fn of model.functions) visit(fn);
  const nodes = model.graph.nodes.length;
  model.close();
  return { kinds, nodes };
}

/** ai.onnx ops that the models of `root` use: what transformers, as people export them, are made of. */
export function transformerOps(root: string, models: readonly string[]): ReadonlySet<string> {
  const kinds = new Set<string>();
  for (const model of models)
    for (const kind of opsOf(join(root, model)).kinds) if (!kind.includes('.')) kinds.add(kind);
  return kinds;
}

/** Model files below a folder. */
export const modelFiles = (root: string, folder: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.onnx'))
    .map((file) => join(folder, file));

const count = (tests: readonly NodeTest[], kind: Outcome['kind']): number =>
  tests.filter((t) => t.outcome.kind === kind).length;

/** `12 passed, 3 unsupported (Optional, ..), 0 failed`. What is missing is named once, most frequent first. */
export function summary(tests: readonly NodeTest[]): string {
  const missing = new Map<string, number>();
  for (const { outcome } of tests)
    if (outcome.kind === 'unsupported')
      for (const what of new Set(outcome.what)) missing.set(what, (missing.get(what) ?? 0) + 1);
  const names = [...missing].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)).map(([what]) => what);
  const named = names.length === 0 ? '' : ` (${names.join(', ')})`;
  return `${count(tests, 'passed')} passed, ${count(tests, 'unsupported')} unsupported${named}, ${count(tests, 'failed')} failed`;
}

/** Tests all of whose ops wafc has. */
export const withSupportedOps = (tests: readonly NodeTest[]): readonly NodeTest[] =>
  tests.filter(({ kinds }) => [...kinds].every((kind) => opFor(kind) !== undefined));

/** Tests of a single node, whose op is one of `ops`. */
export const ofOneOp = (tests: readonly NodeTest[], ops: ReadonlySet<string>): readonly NodeTest[] =>
  tests.filter(({ nodes, kinds }) => nodes === 1 && [...kinds].every((kind) => ops.has(kind)));
