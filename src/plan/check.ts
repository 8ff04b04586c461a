/**
 * What a plan.json must say before anything uses it: its form (schemas/plan.schema.json), then what a schema cannot
 * express (check-program.ts, check-tables.ts). Every finding names the JSON path, what is expected and what was found.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import type { Diagnostic } from '../diag/diagnostic.ts';
import { describeFinding } from '../diag/schema-findings.ts';
import { checkTarget } from '../target/check.ts';
import { jsonSchemas } from '../util/json-schema.ts';
import { packageRoot } from '../util/version.ts';
import { checkProgram } from './check-program.ts';
import { checkTables } from './check-tables.ts';
import { Findings } from './findings.ts';
import type { Plan } from './types.ts';

/** Deeper nesting is nothing that wafc wrote; it would exhaust the stack of whatever prints it. */
const MAX_DEPTH = 64;
/** A plan of more values is checked up to its first finding only: a list of all would not fit into memory. */
const MANY_VALUES = 1_000_000;

const CODES = {
  missing: 'plan/missing-key',
  'unknown-key': 'plan/unknown-key',
  type: 'plan/type',
  range: 'plan/range',
} as const;

const validators = new Map<boolean, ValidateFunction<Plan>>();

function schemaValidator(allErrors: boolean): ValidateFunction<Plan> {
  let validator = validators.get(allErrors);
  if (validator === undefined) {
    const schema = (name: string): object =>
      JSON.parse(readFileSync(join(packageRoot(), 'schemas', `${name}.schema.json`), 'utf8'));
    const ajv = jsonSchemas({ allErrors, discriminator: true }).addSchema(schema('target'));
    validator = ajv.compile<Plan>(schema('plan'));
    validators.set(allErrors, validator);
  }
  return validator;
}

/** Everything that is wrong with `json` as a plan, at most 20 findings; empty when it is a {@link Plan}. */
export function checkPlanJson(json: unknown): Diagnostic[] {
  const found = new Findings();
  const size = measure(json);
  if (size.depth > MAX_DEPTH) {
    found.add('plan/range', '', `expected values nested at most ${MAX_DEPTH} deep, found deeper ones`);
    return found.list;
  }
  const first = schemaValidator(false);
  if (!first(json)) {
    let errors: readonly ErrorObject[] = first.errors ?? [];
    if (size.values <= MANY_VALUES) {
      const all = schemaValidator(true);
      all(json);
      errors = all.errors ?? errors;
    }
    report(errors, found);
    return found.list;
  }
  const target = checkTarget(json.target, 'plan.json');
  if ('diagnostics' in target)
    for (const { message } of target.diagnostics) found.add('plan/target', '/target', message.replace(/^\/: /, ''));
  for (const [t, { program }] of json.templates.entries())
    checkProgram(program, `/templates/${t}/program`, json.target, found);
  // Tables are read with the programs' help.
  if (found.list.length === 0) checkTables(json, found);
  return found.list;
}

/** Findings of ajv, each once. */
function report(errors: readonly ErrorObject[], found: Findings): void {
  const seen = new Set<string>();
  for (const error of errors) {
    if (found.full) return;
    for (const { kind, message } of describeFinding(error)) {
      if (seen.has(message)) continue;
      seen.add(message);
      const [path] = message.split(': ', 1);
      found.add(CODES[kind], path === '/' ? '' : path, message.slice(path.length + 2));
    }
  }
}

/** Number of values and nesting of `json`, without recursion. */
function measure(json: unknown): { values: number; depth: number } {
  let level: unknown[] = [json];
  let [values, depth] = [0, 0];
  while (level.length > 0 && depth <= MAX_DEPTH) {
    values += level.length;
    depth++;
    const next: unknown[] = [];
    for (const value of level)
      if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) next.push(part);
    level = next;
  }
  return { values, depth };
}
