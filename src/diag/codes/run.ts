/** Codes of emitted executors and of generating text. */
import type { CodeTable } from '../codes.ts';

export const RUN_CODES: CodeTable = {
  'emit/output': {
    title: 'the output folder holds something else',
    why: 'The folder is written whole: what was in it would be lost. Only a folder that `wafc emit` wrote is replaced.',
    fix: 'Choose another folder with -o, or remove it.',
  },
  'run/bytes': {
    title: 'tokens are taken for bytes',
    why: 'No tokenizer was given, and the vocabulary is so small that its words can only be bytes.',
    fix: 'Say --tokenizer bytes, or give the file the model was trained with.',
  },
  'run/context': {
    title: 'the sequence does not fit the context',
    why: 'The KV cache of a plan holds as many positions as its context; each token takes one.',
    fix: 'Compile with a larger --context, or give a shorter prompt.',
  },
  'run/draft': {
    title: 'the drafter does not belong to the reviewer',
    why: 'Drafted tokens are compared by their ids, so both models must have one vocabulary.',
    fix: 'Draft with a model that was trained with the same tokenizer.',
  },
  'run/file': {
    title: 'the file with the prompt cannot be read',
    why: 'A prompt is read from a text file in UTF-8.',
    fix: 'See the path in the message.',
  },
  'run/ids': {
    title: 'a token id is not in the vocabulary',
    why: 'Ids index a table of the model; this one is beyond its end. A tokenizer of another model gives such ids, too.',
    fix: 'Give the tokenizer the model was trained with, or smaller ids.',
  },
  'run/last-only': {
    title: 'the model does not give the logits that are needed',
    why: 'A reviewer sees all drafted tokens at once, and needs the logits after each of them; this model computes the last ones only.',
    fix: 'Review with an export that keeps the logits of all tokens.',
  },
  'run/logits': {
    title: 'the logits are not numbers to choose by',
    why: 'A logit is NaN or infinite: weights or activations overflow.',
    fix: '`wafc verify` names the first op whose values leave their bound.',
  },
  'run/no-decoder': {
    title: 'the model does not generate',
    why: 'Generating needs a decoder of one sequence: token ids in, logits of the next token out.',
    fix: 'Compile a decoder with --batch 1.',
  },
  'run/prompt': {
    title: 'there is nothing to continue',
    why: 'A model predicts what follows; without a token, and without one that begins a sequence, there is nothing to follow.',
    fix: 'Give a prompt with --prompt, --file or --ids.',
  },
  'runtime/not-placed': {
    title: 'the model of an executor is not placed',
    why: '`wafc emit` writes the graph of a model only; nothing says how it would lie on cores.',
    fix: 'Compile the model: `wafc compile -o` writes an executor.ts that runs the plan, too.',
  },
  'runtime/trace': {
    title: 'an executor is not a graph',
    why: '`run` prepares what `reference` says as a graph of ops, without any numbers; here a number is asked for, or an output is not given. executor.ts was edited.',
    fix: 'Compute with `op` alone, or call `reference`, which runs line by line (`--mode plain`).',
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
