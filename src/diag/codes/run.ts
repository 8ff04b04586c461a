/** Codes of generating text: tokenizers and `wafc run`. */
import type { CodeTable } from '../codes.ts';

export const RUN_CODES: CodeTable = {
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
