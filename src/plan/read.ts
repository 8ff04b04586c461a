/** Reads a plan directory. Whatever is wrong with plan.json is said with the JSON path, before anything uses it. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Diagnosed, fail } from '../diag/diagnostic.ts';
import { checkPlanJson } from './check.ts';
import type { Plan } from './types.ts';

/** A plan of the largest models is some MB. */
const MAX_BYTES = 256 * 2 ** 20;

/** @throws Diagnosed `plan/..` for a folder that is no plan, or whose plan.json does not hold together. */
export function readPlan(folder: string): Plan {
  const path = join(folder, 'plan.json');
  if (!existsSync(path))
    fail({
      code: 'plan/missing',
      message: `${folder} is no plan: there is no plan.json in it`,
      notes: ['make one: wafc compile model.onnx --target wse3 -o FOLDER'],
    });
  if (statSync(path).size > MAX_BYTES)
    fail({
      code: 'plan/invalid',
      message: `${path} has ${statSync(path).size} bytes; plans are smaller than ${MAX_BYTES}`,
    });
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    fail({
      code: 'plan/invalid',
      message: `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
  const faults = checkPlanJson(json);
  if (faults.length > 0) throw new Diagnosed(faults);
  return json as Plan;
}
