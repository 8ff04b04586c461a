/**
 * The validator of JSON Schemas (ajv), loaded when first asked for: commands that check nothing should not wait for it.
 * Everything strict but what our schemas mean to leave open.
 */
import { createRequire } from 'node:module';
import type * as AjvModule from 'ajv/dist/2020.js';

/** @param options.allErrors every finding instead of the first one; hostile documents can have many */
export function jsonSchemas(options: {
  readonly allErrors: boolean;
  readonly discriminator?: boolean;
}): AjvModule.Ajv2020 {
  const loaded: typeof AjvModule = createRequire(import.meta.url)('ajv/dist/2020.js');
  // verbose: the part of the schema beside the error, for descriptions and known names.
  return new loaded.Ajv2020({ verbose: true, strict: true, strictRequired: false, strictTypes: false, ...options });
}
