/** Codes of emitted executors and of generating text. */
import type { CodeTable } from '../codes.ts';

export const RUN_CODES: CodeTable = {
  'emit/output': {
    title: 'the output folder holds something else',
    why: 'The folder is written whole: what was in it would be lost. Only a folder that `wafc emit` wrote is replaced.',
    fix: 'Choose another folder with -o, or remove it.',
  },
  'runtime/type': {
    title: 'a type in an emitted executor cannot be read',
    why: 'Types are written f32[B,S,64]; executor.ts was edited, or another version of wafc wrote it.',
    fix: 'Compile again.',
  },
  'runtime/weight': {
    title: 'model.onnx lacks a weight of executor.ts',
    why: 'executor.ts names the initializers of the model.onnx beside it; this one has other ones.',
    fix: 'Keep the files of a plan together, or compile again.',
  },
  'tokenizer/format': {
    title: 'the file is no tokenizer that wafc reads',
    why: 'Tokenizers are read from a tokenizer.json of Hugging Face, or from a tokenizer.bin as llama2.c exports it.',
    fix: 'See the reason given. A SentencePiece tokenizer.model is converted with the tokenizers package, or with the tokenizer.py of llama2.c.',
  },
  'tokenizer/missing': {
    title: 'the tokenizer is not there',
    why: 'Text becomes tokens, and tokens text, by the vocabulary the model was trained with; it is no part of an ONNX file.',
    fix: 'Give the file with --tokenizer, or the token ids themselves with --ids.',
  },
  'tokenizer/text': {
    title: 'the vocabulary cannot spell the text',
    why: 'A byte or piece of the text has no token, and the tokenizer has none that stands for unknown ones.',
    fix: 'Leave the character out, or give the tokenizer that belongs to the model.',
  },
};
