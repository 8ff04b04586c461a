/** Codes of the command line, of .wir texts, and of faults of wafc itself. */
import type { CodeTable } from '../codes.ts';

export const TOOL_CODES: CodeTable = {
  'bench/csv': {
    title: 'a file of published rows cannot be used',
    why: 'Rows are scored as they are given; a column that is missing or a field that is no number would score nothing.',
    fix: 'Give a header with model,layers,dim,ffn,seq,grid,groups,tok_s,clock_ghz (others are ignored), and a decode measurement a line.',
  },
  'cli/unknown-code': {
    title: 'there is no such diagnostic code',
    why: 'Codes are printed in brackets after the severity: error[fit/sram].',
    fix: '`wafc explain` lists all codes.',
  },
  'cli/usage': {
    title: 'the command line cannot be read',
    why: 'A command, option or value is not one that wafc has.',
    fix: 'See `wafc help`, or `wafc help COMMAND`.',
  },
  'inspect/no-architecture': {
    title: 'the architecture of a model is not recognised',
    why: 'What inspect says of layers and heads is read off the model as it would be compiled, and that did not succeed.',
    fix: 'Nothing is wrong with the file as such; the reason given is what `wafc compile` would stop at, too.',
  },
  'internal/broken-invariant': {
    title: 'a pass left a program that does not verify',
    why: 'After every pass the program is checked by code that trusts no pass; a rule was broken. It is our fault.',
    fix: 'Run the replay command and report what it prints. --skip NAME can be a way around.',
  },
  'internal/error': {
    title: 'wafc failed',
    why: 'Something happened that wafc does not provide for. It is our fault.',
    fix: 'Run the replay command and report what it prints.',
  },
  'wir/constant': {
    title: 'a constant cannot be read',
    why: 'The elements or the view of a constant do not agree with its type.',
    fix: 'See the head of src/ir/print.ts for the form of constants.',
  },
  'wir/name': {
    title: 'a name is used before it is defined, or defined twice',
    why: 'In a .wir text every value has one name and is defined above its first use.',
    fix: 'Look at the line and column given.',
  },
  'wir/opaque': {
    title: 'the contents of a constant are not in the text',
    why: 'A .wir text names large constants by label only; their bytes are in the model file.',
    fix: 'Give the text to a command that does not read values, or compile from the .onnx file.',
  },
  'wir/syntax': {
    title: 'a .wir text cannot be read',
    why: 'The text does not follow the form that wafc prints.',
    fix: 'Look at the line and column given; `wafc compile --print-after all` shows the form.',
  },
  'wir/type': {
    title: 'there is no such element type',
    why: 'Element types are f32, f16, i64 and the others listed in the message.',
    fix: 'Look at the line and column given.',
  },
};
