/** Codes of target files. */
import type { CodeTable } from '../codes.ts';

export const TARGET_CODES: CodeTable = {
  'target/json': {
    title: 'the target file is not JSON',
    why: 'A target is described by a small JSON file; this one cannot be read as such.',
    fix: 'Start from a copy of one of the shipped files in targets/.',
  },
  'target/missing': {
    title: 'a key of the target file is missing',
    why: 'Every number of the machine is used somewhere, so none has a default.',
    fix: 'Add the key; schemas/target.schema.json says what it means and in which unit.',
  },
  'target/not-found': {
    title: 'there is no such target',
    why: 'The name is not one of the shipped targets, and no file has this path.',
    fix: '`wafc targets` lists the names; a path must lead to a JSON file.',
  },
  'target/range': {
    title: 'a number of the target file is out of range',
    why: 'The value contradicts another one, or what any machine can be.',
    fix: 'See the message for what is expected.',
  },
  'target/source': {
    title: 'a number of the target file has no source',
    why: 'Predictions are only as good as the numbers they rest on, so each says where it is from.',
    fix: "Add it under sources: a document, a measurement, or 'assumed: why'.",
  },
  'target/type': {
    title: 'a value of the target file has the wrong type',
    why: 'The schema expects a number, a list or an object there.',
    fix: 'See schemas/target.schema.json.',
  },
  'target/unknown-key': {
    title: 'the target file has a key that means nothing',
    why: 'A misspelt key would be ignored silently, so unknown ones are refused.',
    fix: 'See the suggestion, or schemas/target.schema.json for all keys.',
  },
};
