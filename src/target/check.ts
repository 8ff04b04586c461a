/**
 * What a target file must say: its shape (schemas/target.schema.json), then what a schema cannot express. All
 * findings of a file are reported at once, each with its JSON path, what is expected and what was found.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { Target } from '../ir/target.ts';
import { jsonSchemas } from '../util/json-schema.ts';
import { suggest } from '../util/suggest.ts';
import { usableCores } from './cores.ts';
import { packageRoot } from '../util/version.ts';

/** Largest program rectangle, in cores; bounds what tables by core may cost. */
export const MAX_CORES = 4_000_000;

let validator: ValidateFunction<Target> | undefined;

function schemaValidator(): ValidateFunction<Target> {
  if (validator === undefined) {
    const text = readFileSync(join(packageRoot(), 'schemas', 'target.schema.json'), 'utf8');
    validator = jsonSchemas({ allErrors: true }).compile<Target>(JSON.parse(text));
  }
  return validator;
}

/** The target that `json` describes, or every finding about it; `file` names it in the findings. */
export function checkTarget(json: unknown, file: string): { target: Target } | { diagnostics: Diagnostic[] } {
  const validate = schemaValidator();
  if (!validate(json)) {
    const found = (validate.errors ?? []).flatMap((e) => describe(e, file));
    const sources = isRecord(json) ? checkSources(json, file) : [];
    return { diagnostics: unique([...found, ...sources]) };
  }
  const diagnostics = [...checkMeaning(json, file), ...checkSources({ ...json }, file)];
  if (diagnostics.length > 0) return { diagnostics };
  const { $schema: _, ...target } = json as Target & { $schema?: string };
  return { target };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const error = (code: string, file: string, path: string, message: string): Diagnostic => ({
  code,
  severity: 'error',
  message: `${path === '' ? '/' : path}: ${message}`,
  where: file,
});

/** A value as it stands in the file, cut to one line. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function describe(e: ErrorObject, file: string): Diagnostic[] {
  const path = e.instancePath;
  const about: unknown = e.parentSchema?.description;
  const meaning = typeof about === 'string' ? ` (${about.replace(/\.$/, '')})` : '';
  switch (e.keyword) {
    case 'additionalProperties':
      return [unknownKey(file, path, e.params.additionalProperty, Object.keys(e.parentSchema?.properties ?? {}))];
    case 'propertyNames':
      return []; // its enum says the same, with the known names
    case 'required': {
      const key: string = e.params.missingProperty;
      const wanted: unknown = e.parentSchema?.properties?.[key]?.description;
      const text = typeof wanted === 'string' ? `: ${wanted}` : '';
      return [error('target/missing', file, path, `key '${key}' is missing${text}`)];
    }
    case 'type':
      return [error('target/type', file, path, `expected ${e.params.type}, found ${show(e.data)}${meaning}`)];
    case 'enum':
      if (e.propertyName !== undefined) return [unknownKey(file, path, e.propertyName, e.params.allowedValues)];
      return [
        error(
          'target/range',
          file,
          path,
          `expected one of ${e.params.allowedValues.join(', ')}, found ${show(e.data)}`,
        ),
      ];
    default:
      return [error('target/range', file, path, `${e.message ?? e.keyword}, found ${show(e.data)}${meaning}`)];
  }
}

function unknownKey(file: string, path: string, key: string, known: readonly string[]): Diagnostic {
  const hint = suggest(key, known);
  const tail = hint === undefined ? `known: ${known.join(', ')}` : hint;
  return error('target/unknown-key', file, path, `no key '${key}' here; ${tail}`);
}

function checkMeaning(t: Target, file: string): Diagnostic[] {
  const found: Diagnostic[] = [];
  const range = (path: string, message: string) => found.push(error('target/range', file, path, message));
  if (t.width * t.height > MAX_CORES)
    range(
      '/width',
      `expected width * height of at most ${MAX_CORES}, found ${t.width} * ${t.height} = ${t.width * t.height}`,
    );
  for (const [i, d] of t.defects.entries())
    if (d.x + d.width > t.width || d.y + d.height > t.height)
      range(`/defects/${i}`, `expected a rectangle inside ${t.width} x ${t.height}, found ${show(d)}`);
  if (found.length === 0 && usableCores(t) === 0) range('/defects', 'expected at least one usable core, found none');
  const reserved = t.reservedCodeBytes + t.reservedStackBytes;
  if (reserved >= t.sramBytes)
    range('/sramBytes', `expected more than code and stack take (${reserved}), found ${t.sramBytes}`);
  const usable = new Set(t.colors.usable);
  for (const [i, color] of t.colors.switchable.entries())
    if (!usable.has(color)) range(`/colors/switchable/${i}`, `expected a usable color, found ${color}`);
  return found;
}

/** Paths of the numbers and switches of a target, `macsPerCycle.f16`; a list is one number. */
function* numberPaths(value: unknown, path: string): Generator<string> {
  if (typeof value === 'number' || typeof value === 'boolean') yield path;
  else if (Array.isArray(value)) {
    if (value.length > 0) yield path;
  } else if (isRecord(value))
    for (const [key, part] of Object.entries(value)) yield* numberPaths(part, path === '' ? key : `${path}.${key}`);
}

/** Every number has a source, and every source is of something. */
function checkSources({ sources, ...rest }: Record<string, unknown>, file: string): Diagnostic[] {
  if (!isRecord(sources)) return [];
  const paths = [...numberPaths(rest, '')];
  const found = paths
    .filter((p) => !Object.hasOwn(sources, p) && !Object.hasOwn(sources, p.split('.')[0]))
    .map((p) =>
      error('target/source', file, '/sources', `no source for ${p}; write where the number is from, or 'assumed: why'`),
    );
  const known = [...new Set([...paths, ...Object.keys(rest)])];
  for (const key of Object.keys(sources))
    if (!known.includes(key)) found.push(unknownKey(file, '/sources', key, known));
  return found;
}

/** ajv repeats a finding where two parts of the schema make it. */
const unique = (found: readonly Diagnostic[]): Diagnostic[] => [...new Map(found.map((d) => [d.message, d])).values()];
