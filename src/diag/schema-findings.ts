/**
 * Findings of a JSON Schema (ajv) in the words of this house: the JSON path, what is expected, what was found. Nothing
 * here walks into the values shown, however deep or long they are.
 */
import type { ErrorObject } from 'ajv/dist/2020.js';
import { suggest } from '../util/suggest.ts';

/** Which of the codes of an area a finding belongs to. */
export type FindingKind = 'missing' | 'unknown-key' | 'type' | 'range';

export interface SchemaFinding {
  readonly kind: FindingKind;
  /** `/stages/0/template: expected integer, found "x"`. */
  readonly message: string;
}

/** `path` as it stands in messages: the whole document is `/`. */
export const at = (path: string, message: string): string => `${path === '' ? '/' : path}: ${message}`;

/** A value on one line of at most 60 characters. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 50 ? `${value.slice(0, 47)}...` : value);
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}

const meaning = (e: ErrorObject): string => {
  const about: unknown = e.parentSchema?.description;
  return typeof about === 'string' ? ` (${about.replace(/\.$/, '')})` : '';
};

/** One finding of a validator made with `verbose: true`; nothing for those that only repeat another. */
export function describeFinding(e: ErrorObject): SchemaFinding[] {
  const path = e.instancePath;
  const finding = (kind: FindingKind, message: string): SchemaFinding[] => [{ kind, message: at(path, message) }];
  const limit: unknown = e.params.limit;
  switch (e.keyword) {
    case 'if':
    case 'oneOf':
    case 'anyOf':
    case 'propertyNames':
    case 'discriminator':
      return []; // what fails inside, or the enum beside it, says it better
    case 'additionalProperties': {
      const known = Object.keys(e.parentSchema?.properties ?? {});
      const key: string = e.params.additionalProperty;
      const hint = suggest(key.slice(0, 50), known) ?? `known: ${known.join(', ')}`;
      return finding('unknown-key', `expected no key ${show(key)} here; ${hint}`);
    }
    case 'required': {
      const key: string = e.params.missingProperty;
      const about: unknown = e.parentSchema?.properties?.[key]?.description;
      return finding(
        'missing',
        `expected key '${key}', found none${typeof about === 'string' ? ` (${about.replace(/\.$/, '')})` : ''}`,
      );
    }
    case 'type':
      return finding('type', `expected ${[e.params.type].flat().join(' or ')}, found ${show(e.data)}${meaning(e)}`);
    case 'enum':
      return finding(
        'range',
        `expected one of ${e.params.allowedValues.join(', ')}, found ${show(e.data)}${meaning(e)}`,
      );
    case 'const':
      return finding('range', `expected ${show(e.params.allowedValue)}, found ${show(e.data)}${meaning(e)}`);
    case 'minimum':
      return finding('range', `expected at least ${limit}, found ${show(e.data)}${meaning(e)}`);
    case 'maximum':
      return finding('range', `expected at most ${limit}, found ${show(e.data)}${meaning(e)}`);
    case 'minItems':
    case 'maxItems':
      return finding(
        'range',
        `expected at ${e.keyword === 'minItems' ? 'least' : 'most'} ${limit} entries, found ${show(e.data)}${meaning(e)}`,
      );
    case 'pattern':
      return finding('range', `expected text like ${e.params.pattern}, found ${show(e.data)}${meaning(e)}`);
    case 'maxLength':
      return finding('range', `expected at most ${limit} characters, found ${show(e.data)}${meaning(e)}`);
    default:
      return finding('range', `${e.message ?? e.keyword}, found ${show(e.data)}${meaning(e)}`);
  }
}
