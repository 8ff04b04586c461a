/** Codes of compression, of calibration and of evaluation on text. */
import type { CodeTable } from '../codes.ts';

export const COMPRESS_CODES: CodeTable = {
  'compress/activations': {
    title: '--act is no format of activations',
    why: 'Inputs of linear layers are rounded to 8 bits with a scale for each token, or with a fixed one from a calibration text.',
    fix: 'Take int8:token, or int8:static with max, mse, entropy or a percentile as in int8:static:p99.99.',
  },
  'compress/algorithm': {
    title: 'there is no such algorithm',
    why: 'An algorithm of quantization was asked for by a name that none has.',
    fix: 'Take one of those that the message lists.',
  },
  'compress/auto': {
    title: 'which formats --quantize auto has chosen',
    why: 'Wider formats are more accurate and take more of each core. Layers of one role got the widest format with which the planner still found a plan.',
    fix: 'Nothing is wrong. --override LAYER=FORMAT decides for a layer.',
  },
  'compress/budget': {
    title: '--budget cannot be read, or has nothing to decide',
    why: 'A budget is what --quantize auto chooses formats within: bytes of each core, or of all weights.',
    fix: 'Write it as 36KiB/core or 12GB, with --quantize auto.',
  },
  'compress/cache': {
    title: 'keys and values cannot be kept in this format',
    why: 'Keys and values are kept from token to token by decoders only, in fp16, int8 or int4:kivi32.',
    fix: 'Take one of these for a decoder, and leave --kv out for other models.',
  },
  'compress/clipped': {
    title: 'how many activations a fixed scale cuts off',
    why: 'A scale that leaves out the few largest activations tells the others apart more finely.',
    fix: 'Nothing is wrong. int8:static:max cuts off none of the calibration text; int8:token needs no fixed scale.',
  },
  'compress/depth': {
    title: 'which layers --prune depth has taken out',
    why: 'Layers whose output is most like their input, over the calibration text, are taken to do least (block influence).',
    fix: 'Nothing is wrong, but without training after it a model loses much by a layer: measure with --eval.',
  },
  'compress/int4-wins': {
    title: 'fewer bits would take less room than fewer weights',
    why: 'An index and what is left of the weights take more bits than all of them in int4 with groups of 32; and at equal room, rounding loses less than one-shot pruning (compression.md section 4.2).',
    fix: 'Take --quantize int4, or prune more; nothing is wrong with a model that was trained sparse.',
  },
  'compress/few-tokens': {
    title: 'the calibration text is short',
    why: 'Second moments of inputs are estimated from the tokens of the text; few tokens make poor estimates.',
    fix: 'Give a longer text; 128 windows of 512 tokens are used at most.',
  },
  'compress/max-ppl': {
    title: 'the compressed model is worse than allowed',
    why: 'Perplexity on the text of --eval rose by more than --max-ppl. The plan was written; it is the gate that failed.',
    fix: 'Take a wider format, an algorithm with calibration (--calib), or leave out sensitive layers: --exclude, --override.',
  },
  'compress/float-products': {
    title: 'the cores have no 8-bit multiplier',
    why: 'Rounding activations saves time where 8-bit integers are multiplied. On this machine their values are multiplied as floats.',
    fix: 'Leave --act out unless the rounded model is what you want to see placed.',
  },
  'compress/format': {
    title: 'there is no such storage format',
    why: 'A format of weights is named by its element, how many weights share a scale, and its grid.',
    fix: 'Take one of those that the note lists, as in int4:g32:signed.',
  },
  'compress/no-calibration': {
    title: 'an algorithm needs a text to look at',
    why: 'AWQ, GPTQ, SmoothQuant, bias correction, Wanda and SparseGPT look at what comes into each layer, and there was nothing to run the model on.',
    fix: 'Give --calib a text, or take an algorithm that needs none: --algo hqq.',
  },
  'compress/prune': {
    title: '--prune says something that is no way of pruning',
    why: 'A way of pruning is named by its method or part, how much goes, and the sets that lose alike: wanda:0.5:row.',
    fix: 'Take one of those that the note lists; single weights, channels, heads, layers and experts go together, two of a kind do not.',
  },
  'compress/no-channels': {
    title: 'there are no channels to take out',
    why: 'A channel is an output of a layer that meets nothing but element by element operations until another layer reads it, and that nothing else sees. No block of the model is like that, or its weights are quantized, shared or excluded.',
    fix: 'Prune single weights, or the model as it was before it was quantized.',
  },
  'compress/unsupported': {
    title: 'the model has nothing of what should be pruned, or in a form that is not pruned yet',
    why: 'Heads, experts and layers are found by structure. The message says what was looked for and not found.',
    fix: 'Prune single weights (wanda, sparsegpt) or channels (ffn).',
  },
  'compress/no-values': {
    title: 'what was asked for needs weights',
    why: 'With --no-weights a plan is made from shapes; what weights hold is not read, so nothing can be measured, exported or chosen by its size.',
    fix: 'Leave out --no-weights, or --eval, --export-onnx and --prune.',
  },
  'compress/tiles': {
    title: 'masks are balanced over other tiles than those of the plan',
    why: 'For :tile, every core should hold equally many non-zeros. The plan is rehearsed before weights are pruned; with the pruned weights the search has cut some layers otherwise.',
    fix: 'Nothing is wrong, but the fullest core holds more than the mean. --regions or --layers-per-region keep the search from moving.',
  },
  'compress/overflow': {
    title: 'weights are beyond the range of f16',
    why: 'The largest f16 is 65504; larger weights became that.',
    fix: 'Take another format for the layer: --override LAYER=keep.',
  },
  'compress/pattern': {
    title: 'a pattern names no layer',
    why: 'A rule for layers that do not exist would change nothing, which is hardly what was meant.',
    fix: 'Take a part of a name that the note lists; * stands for any text.',
  },
  'compress/unused-columns': {
    title: 'the calibration text leaves most inputs of a layer unused',
    why: 'GPTQ and AWQ weigh errors by the inputs that a text gives. Weights whose inputs are 0 on all of it become whatever rounding makes of them.',
    fix: 'Give a longer text, or one that is more like what the model will read; or take --algo hqq, which needs none.',
  },
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
