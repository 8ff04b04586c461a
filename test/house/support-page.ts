/**
 * `npm run docs:support`: writes SUPPORT.md, the ops that wafc has, from the registry, the lifter and the rules of regions.
 * All of the page is generated; what it says in words is here.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXPANDED } from '../../passes/1-graph/expand-fused.ts';
import { INGESTED } from '../../passes/1-graph/ingest-quantized.ts';
import { tokenForm } from '../../src/lift/lift.ts';
import { hasRegionRule } from '../../src/map/stage-mapper.ts';
import { HOST_KINDS } from '../../src/ops/wafc-host.ts';
import { kindOf, type OpDef } from '../../src/ops/op.ts';
import { allOps } from '../../src/ops/registry.ts';

export const SUPPORT_PAGE = resolve(import.meta.dirname, '../../SUPPORT.md');

const DOMAINS: readonly (readonly [domain: string, title: string])[] = [
  ['', 'ai.onnx'],
  ['com.microsoft', 'com.microsoft'],
  ['wafc', 'wafc'],
];

/** `7+; changed in 13, 14`. */
function opsets({ since }: OpDef): string {
  const [first, ...later] = since;
  return `${first}+${later.length === 0 ? '' : `; changed in ${later.join(', ')}`}`;
}

/** What the pipeline makes of the op where activations go through it. */
function tokens(def: OpDef): string {
  const kind = kindOf(def.domain, def.name);
  if (HOST_KINDS.has(kind)) return 'host';
  if (def.domain === 'wafc') return 'is one';
  if (Object.hasOwn(INGESTED, kind)) return 'a float product (ingest-quantized)';
  if (Object.hasOwn(EXPANDED, kind)) return 'plain ops (expand-fused)';
  if (kind === 'If') return 'the branch taken (inline-branches)';
  return tokenForm(def) ?? 'host only';
}

function region(def: OpDef): string {
  const kind = kindOf(def.domain, def.name);
  const form = tokens(def);
  if (form.startsWith('host')) return '-';
  return ['is one', 'the same op'].includes(form) ? (hasRegionRule(kind) ? 'yes' : 'no') : 'by what it becomes';
}

function rows(domain: string): string {
  const defs = allOps().filter((def) => def.domain === domain);
  const lines = defs.map(
    (def) => `| ${def.name} | ${opsets(def)} | ${def.trait} | ${tokens(def)} | ${region(def)} |\n`,
  );
  return `| op | opsets | trait | among activations | region |\n|---|---|---|---|---|\n${lines.join('')}`;
}

/** The whole page. */
export function supportPage(): string {
  const counts = DOMAINS.map(([domain, title]) => `${allOps().filter((d) => d.domain === domain).length} of ${title}`);
  const sections = DOMAINS.map(([domain, title]) => `## ${title}\n\n${rows(domain)}`);
  return `# Supported ops

<!-- generated (npm run docs:support), do not edit -->

${counts.join(', ')}. Every op here has a shape rule and a reference kernel, which ONNX's own tests check.
A model with an op that is not here is refused by name, with the nearest one that is. Values are tensors: an input that is a sequence, a map or an optional is refused as such.

- **opsets**: the first version of the op's domain that is read, and the later ones whose definition differs. A model is read at
  the version it declares; an op newer than the last change is taken to be as that change left it.
- **trait**: \`view\` moves elements, \`elementwise\` computes each from those at its place, \`compute\` is everything else,
  \`source\` reads no data, \`control-flow\` runs bodies.
- **among activations**: what the op becomes in the token graph when activations of the model go through it. \`host only\`:
  it may work on ids, positions, masks and lengths, which the host computes; among activations it is refused, by the name of its
  node. Some forms are refused all the same (a softmax that is not of attention, an operand
  that is no scalar), and say so. Norms and activations spelled in primitive ops (ReduceMean, Sqrt, Erf) are recognised before.
- **region**: whether the cores of a region can compute that form.

${sections.join('\n')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(SUPPORT_PAGE, supportPage());
