/**
 * What a pass is: a function from program to program that says in its types which facts it reads, which it
 * gives, and which it leaves true. The manager (manager.ts) holds it to that.
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { GraphEdit } from '../ir/edit.ts';
import type { Fact, Program, With } from '../ir/facts.ts';
import type { Graph } from '../ir/graph.ts';
import type { Random } from '../util/rng.ts';

/** The type of an option is the type of its default; lists take `a|b|c` on the command line. */
export type OptionValue = number | string | boolean | readonly string[] | readonly number[];

export interface PassContext<O> {
  readonly options: O;
  /** Seeded from the run's seed and the pass's name: adding a pass disturbs no other. */
  readonly random: Random;
  /** An edit whose ops carry the name of this pass in their origin. */
  edit(graph: Graph): GraphEdit;
  report(diagnostic: Diagnostic): void;
  /** Adds to a counter that `--stats` shows; nothing is shown for a sum of 0. */
  count(name: string, by?: number): void;
}

export interface Pass<R extends Fact = Fact, P extends Fact = Fact, O extends object = object> {
  /** Kebab-case; also the file's name, the golden folder and the word on the command line. */
  readonly name: string;
  readonly summary: string;
  /** Facts that `run` reads. */
  readonly requires: readonly R[];
  /** Facts that `run` adds or renews. */
  readonly provides: readonly P[];
  /** Facts that are still true afterwards; all others are dropped. */
  readonly preserves: readonly Fact[];
  /** What a differential test may expect of the values the graph computes. */
  readonly numerics: 'exact' | 'reassociates' | 'lossy';
  /** Defaults; their types are the option types. */
  readonly options: O;
  run(program: With<R>, context: PassContext<O>): With<P>;
}

/** A pass whose fact and option types are checked at its definition, and by the manager at run time. */
export interface AnyPass extends Omit<Pass, 'run'> {
  readonly options: Readonly<Record<string, OptionValue>>;
  run(program: Program, context: PassContext<object>): Program;
}

/** Passes in pipeline order, names unique (passes/index.ts). */
export type PassRegistry = readonly AnyPass[];

/** A pass with every option given: one entry of a pipeline. */
export interface Step {
  readonly pass: AnyPass;
  readonly options: Readonly<Record<string, OptionValue>>;
}

/** Infers the fact names, so that reading an undeclared fact, or not giving a promised one, is a type error. */
export function definePass<
  const R extends Fact,
  const P extends Fact,
  O extends { readonly [K in keyof O]: OptionValue },
>(pass: Pass<R, P, O>): DefinedPass<O> {
  return pass as unknown as DefinedPass<O>;
}

/** An `AnyPass` that still knows its option types, for `step`. */
export interface DefinedPass<O extends object> extends AnyPass {
  readonly options: AnyPass['options'] & O;
}

/** `step(pruneBlocks, { sparsity: 0.7 })`: the pass with its defaults overridden, type-checked. */
export function step<O extends object>(pass: DefinedPass<O>, options: Partial<O>): Step {
  return { pass, options: { ...pass.options, ...options } };
}
