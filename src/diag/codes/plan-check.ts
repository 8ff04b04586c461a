/** Codes of a plan.json that does not hold together (src/plan/check.ts). */
import type { CodeTable } from '../codes.ts';

const AGAIN = 'Plans are written by `wafc compile` only: compile again, with the version of wafc that reads it.';

export const PLAN_CHECK_CODES: CodeTable = {
  'plan/blob': {
    title: 'a range of weights.bin is not what the plan needs there',
    why: 'Ranges lie side by side inside the file, and each is as long as the elements of its weight.',
    fix: AGAIN,
  },
  'plan/coding': {
    title: 'a weight is coded in a way that no tile can be',
    why: 'Codes of 2, 4 or 8 bits belong to a matrix of weights; scales are floats, zero points are codes or floats.',
    fix: AGAIN,
  },
  'plan/sparsity': {
    title: 'a weight leaves out zeros in a way that no tile can be',
    why: 'What is left out are zeros of a matrix of weights; the largest tile fits a core, and its figures go together.',
    fix: AGAIN,
  },
  'plan/count': {
    title: 'two tables of the plan have different lengths',
    why: 'Entries belong together by position: the inputs of a stage and of its program, the maps and the regions.',
    fix: AGAIN,
  },
  'plan/index': {
    title: 'an entry of the plan names another one that is not there',
    why: 'Tensors, ops, stages, regions and templates are named by their position in a list of the plan.',
    fix: AGAIN,
  },
  'plan/layout': {
    title: 'a layout does not belong to its tensor',
    why: 'A layout has one entry for every dim, and a mesh axis cuts one dim at most.',
    fix: AGAIN,
  },
  'plan/missing-key': {
    title: 'a key of the plan is missing',
    why: 'Every key of schemas/plan.schema.json is in every plan; the message says what the key means.',
    fix: AGAIN,
  },
  'plan/range': {
    title: 'a value of the plan is outside its range',
    why: 'The value is of the right type, but no plan can have it; the message says which values are possible.',
    fix: AGAIN,
  },
  'plan/target': {
    title: 'the target inside the plan does not hold',
    why: 'A plan carries the machine it was made for, which must say all that a target file must say.',
    fix: AGAIN,
  },
  'plan/type': {
    title: 'a value of the plan has another type',
    why: 'The message names the value by its JSON path, and the type that belongs there.',
    fix: AGAIN,
  },
  'plan/unknown-key': {
    title: 'the plan has a key that wafc does not know',
    why: 'A key that nobody reads would be believed to have an effect; it may come from a newer version.',
    fix: AGAIN,
  },
};
