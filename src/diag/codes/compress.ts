/** Codes of compression, of calibration and of evaluation on text. */
import type { CodeTable } from '../codes.ts';

export const COMPRESS_CODES: CodeTable = {
  'eval/corpus': {
    title: 'a text or list of ids cannot be used',
    why: 'Calibration and evaluation run the model on tokens of a text, of JSON lines, or of an .npz of ids, and found none.',
    fix: 'Give a .txt with --tokenizer, a .jsonl with a "text" or "ids" a line, or an .npz with an array of ids.',
  },
  'eval/input': {
    title: 'the model has an input that a text does not give',
    why: 'Calibration and evaluation feed ids, positions, masks and empty caches; they can not make up anything else.',
    fix: 'Compress without data: --algo rtn, mse or hqq, and no --eval.',
  },
  'eval/no-logits': {
    title: 'the model gives no probabilities of tokens',
    why: 'Perplexity and divergence are computed from an output of logits for every token, and the model has none.',
    fix: 'Compress without --eval; the report has the error of every matrix.',
  },
};
