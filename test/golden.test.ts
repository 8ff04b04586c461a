/**
 * Text in, text out: every `golden/PASS/*.wir` names its passes in its first line; the `.expect` beside it holds
 * the graph they leave, what they counted and reported. Read the difference before `vitest -u`.
 *
 * Passes that look beyond the graph have more lines of the form `// key: value`: `target` (one of targets/, with
 * `width`, `height` or `sramBytes` changed: `mesh-4x4, sramBytes=24576`), `context`, `batch`. What a target is given
 * for is printed with the facts that the last pass gives, not the graph alone.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Diagnostic } from '../src/diag/diagnostic.ts';
import { inferTypes } from '../src/frontend/infer.ts';
import { inferRoles } from '../src/frontend/roles.ts';
import { bindDim } from '../src/ir/dim.ts';
import { keepFacts, type Program } from '../src/ir/facts.ts';
import type { Graph } from '../src/ir/graph.ts';
import { parseGraph } from '../src/ir/parse.ts';
import { printGraph } from '../src/ir/print.ts';
import { printProgram } from '../src/ir/print-program.ts';
import { opFor } from '../src/ops/registry.ts';
import { QUIET, runPasses } from '../src/pass/manager.ts';
import { countPasses } from '../src/pass/observe.ts';
import type { AnyPass } from '../src/pass/pass.ts';
import { parsePassList } from '../src/pass/pass-list.ts';
import { loadTarget } from '../src/target/load.ts';
import { verifyGraph } from '../src/verify/graph.ts';
import { compareGraphs } from './support/numerics.ts';
import { programOf } from './support/program.ts';

const folder = join(import.meta.dirname, 'golden');
const passes = join(import.meta.dirname, '../passes');
const modules = readdirSync(passes, { recursive: true, encoding: 'utf8' });
const rules = { since: (kind: string) => opFor(kind)?.since };

/** A pass is found by the name of its file: the one name that a pass has. */
async function load(name: string): Promise<AnyPass> {
  const path = modules.find((file) => file.endsWith(`/${name}.ts`));
  if (path === undefined) throw new Error(`passes/ has no ${name}.ts`);
  const { default: pass }: { default: AnyPass } = await import(join(passes, path));
  return pass;
}

const header = (text: string, key: string): string | undefined => new RegExp(`^// ${key}: (.*)$`, 'm').exec(text)?.[1];

/** The program that the case's lines ask for; inputs have the roles their names give them. */
function startOf(text: string, graph: Graph): Program {
  const plain = programOf(graph);
  const target = header(text, 'target');
  if (target === undefined) return { ...plain, roles: inferRoles(graph).roles.byName };
  const [name, ...changes] = target.split(', ');
  const changed = Object.fromEntries(changes.map((c) => [c.split('=')[0], Number(c.split('=')[1])]));
  const [context, batch] = ['context', 'batch'].map((key) => Number(header(text, key) ?? (key === 'batch' ? 1 : 0)));
  return {
    ...plain,
    target: { ...loadTarget(name), ...changed },
    mode: { kind: 'stream', batch, context },
    roles: inferRoles(graph).roles.byName,
  };
}

for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.wir'))
  .sort()) {
  test(file, async () => {
    const text = readFileSync(join(folder, file), 'utf8');
    const list = /^\/\/ passes: (.*)/.exec(text)?.[1];
    if (list === undefined) throw new Error(`${file}: the first line must be '// passes: ..'`);
    const names = [...list.matchAll(/(?:^|,)\s*([\w-]+)(?=\s*(?:\{|,|$))/g)].map((m) => m[1]);
    const registry = await Promise.all(names.map(load));
    const before = parseGraph(text, { file });
    expect(verifyGraph(before, rules)).toEqual([]);
    expect(printGraph(inferTypes(before))).toBe(printGraph(before));

    const reported: Diagnostic[] = [];
    const counts = countPasses();
    const steps = parsePassList(list, registry);
    const target = header(text, 'target');
    const start = startOf(text, before);
    const after = runPasses(start, steps, {
      ...QUIET,
      verify: ({ graph }) => verifyGraph(graph, rules),
      observers: [counts.observe],
      report: (diagnostic) => reported.push(diagnostic),
    });
    expect(printGraph(inferTypes(after.graph))).toBe(printGraph(after.graph));
    const promises = steps.map(({ pass }) => pass.numerics);
    // A sequence that was bound to the context is compared at that length.
    const { context, kind } = after.mode;
    const bound = kind === 'whole' && target ? inferTypes(before, (d) => bindDim(d, { S: context })) : before;
    compareGraphs(
      bound,
      after.graph,
      promises.every((p) => p === 'exact') ? 0 : promises.includes('lossy') ? 0.1 : 1e-5,
    );
    const printed = printGraph(after.graph, { hash: true });
    expect(printGraph(parseGraph(printed), { hash: true })).toBe(printed);
    const given = keepFacts(after, steps.at(-1)?.pass.provides ?? []);
    const facts = target === undefined ? '' : printProgram(given, { hash: true }).slice(printed.length);
    const said = reported.map((d) => `// ${d.severity}[${d.code}] ${d.node ?? ''}: ${d.message}\n`);
    const stats = counts
      .text()
      .replaceAll(/^/gm, '// ')
      .replace(/\/\/ $/, '');
    await expect(`${printed}${facts}${stats}${said.join('')}`).toMatchFileSnapshot(
      join(folder, file.replace(/\.wir$/, '.expect')),
    );
  });
}
