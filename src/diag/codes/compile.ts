/** Codes of running, lifting and mapping a graph. */
import type { CodeTable } from '../codes.ts';

export const COMPILE_CODES: CodeTable = {
  'compile/activations-float': {
    title: 'roundings of activations are left out',
    why: 'The export rounds activations to 8 bits between ops. Regions compute them in floats, so the placed model does not round there and is closer to the float model than the export is.',
    fix: 'Nothing; compare with the float model, or expect small differences from the quantized export.',
  },
  'compile/batch': {
    title: 'the model has a batch size of its own',
    why: 'Its shapes are fixed for so many sequences, and another number was asked for.',
    fix: 'Leave --batch out, or export the model with an open batch dim.',
  },
  'compile/bound-input': {
    title: 'an input is bound to a value at compile time',
    why: 'The input only chooses between branches of the model; a plan is made for one of them.',
    fix: 'Nothing, if the value is the one you want; else bind the input with --bind NAME=N.',
  },
  'compile/context': {
    title: 'the context is longer than the model allows',
    why: 'The model has tables of positions, and they end before the context asked for.',
    fix: 'Ask for a shorter --context; the message says what works.',
  },
  'compile/context-chosen': {
    title: 'a shorter context than the default was chosen',
    why: 'No --context was given, and the default does not fit the target; the longest power of two that does was taken.',
    fix: 'Nothing, if that is enough; else give --context, or choose a larger target.',
  },
  'compile/densified': {
    title: 'a quantized weight is stored dense',
    why: 'The model computes with the weight before it multiplies (a scaling, a sum of two weights), and the result has no codes and scales of its own.',
    fix: 'Fold the computation into the float weights before quantizing, or accept the larger weight.',
  },
  'compile/full-cache': {
    title: 'every row of the cache is as long as the past',
    why: 'GroupQueryAttention takes the valid keys of each row of a batch (seqlens_k). A plan appends one position a step to all rows, so seqlens_k is past + new - 1 everywhere.',
    fix: 'Nothing for single sequences; in a batch, feed rows of one length.',
  },
  'compile/fused-op': {
    title: 'a fused op is not taken apart',
    why: 'Fused ops of onnxruntime are placed as the plain ops they stand for. This one has a form that they cannot spell.',
    fix: 'Nothing, if the op runs on the host; else export the model without this form, or without fusion.',
  },
  'compile/not-finite': {
    title: 'a weight holds NaN or infinity',
    why: 'Every token would be computed with it. Weights are looked at while weights.bin is written, not for shapes only.',
    fix: 'Look where training or conversion went wrong: f16 ends at 65504, so a large f32 weight becomes infinite there.',
  },
  'compile/output': {
    title: 'the output folder exists and is not a plan',
    why: 'A plan replaces the folder it is written to as a whole, so only an older plan is ever replaced.',
    fix: 'Choose another folder with -o, or remove the one that is there.',
  },
  'compile/rope-halves': {
    title: 'rotations are computed in another order of features',
    why: 'Rotations of neighbouring features and of halves are the same up to an order of features that queries and keys share. Plans have one of them: the columns of both projections are read in that order.',
    fix: 'Nothing: queries and keys meet in a dot product only.',
  },
  'compile/two-lengths': {
    title: 'a model of two sequences',
    why: 'An encoder and a decoder in one graph have sequences of two lengths. Stages hand on one sequence, so a plan has one length.',
    fix: 'Export encoder and decoder as two models and compile each.',
  },
  'compile/prompt': {
    title: 'a prompt whose time to first token was asked for does not fit the context',
    why: 'A plan holds keys and values for its context; a longer prompt has no place to go.',
    fix: 'Ask for a longer --context, or for shorter --prompt-tokens.',
  },
  'compile/unbound-dim': {
    title: 'a symbolic dim of the inputs is not bound',
    why: 'Cores have fixed memory, so every dim but the sequence and its past must be a number at compile time.',
    fix: 'Give it a value: --batch, --context, or --bind NAME=N.',
  },
  'exec/batch': {
    title: 'the inputs are for another batch size',
    why: 'A plan is made for one batch size; its buffers are sized for that.',
    fix: 'Feed the batch size the plan was compiled for, or compile with --batch.',
  },
  'exec/context': {
    title: 'the inputs do not fit the context of the plan',
    why: 'The context is fixed at compile time and sizes the KV cache; the positions fed go beyond it.',
    fix: 'Feed fewer positions, or compile with a larger --context.',
  },
  'exec/feed': {
    title: 'an input is missing, or not what the graph takes',
    why: 'Every graph input needs a tensor of its element type and shape; a symbol means one number in all of them.',
    fix: 'Compare with `wafc inspect`, which lists the inputs.',
  },
  'exec/missing': {
    title: 'a value was needed and not given',
    why: 'The run needs a value that neither the inputs nor the graph provide.',
    fix: 'Feed the input that is named.',
  },
  'lift/not-token-wise': {
    title: 'an op mixes tokens in a way that cannot be streamed',
    why: 'The plan computes one token at a time; this op combines values of different tokens outside attention.',
    fix: 'Compile for whole sequences, or change the model so that only attention looks at other tokens.',
  },
  'lift/size-dependent': {
    title: 'the graph computes something else at another sequence length',
    why: 'The graph was lifted at one length and checked at another; the two differ in more than their sizes.',
    fix: 'Look for branches on the sequence length in the exported model, and export without them.',
  },
  'lift/stacked-past': {
    title: 'keys and values are one input',
    why: 'Early GPT-2 exports stack keys and values of a layer in a past of rank 5. On the wafer each is a state of its own, which the model has to have as an input of its own.',
    fix: 'Export with keys and values apart, as current exporters do (optimum, the dynamo exporter, onnxruntime-genai).',
  },
  'lift/unbound-dim': {
    title: 'a symbolic dim is not bound',
    why: 'Cores have fixed memory, so every dim must be a number at compile time.',
    fix: 'Bind it: --batch, --context, or --bind NAME=N.',
  },
  'lift/unused-cache': {
    title: 'a cache output is read by no attention',
    why: 'The model has an output that looks like a KV cache, but no attention reads what it holds.',
    fix: 'Drop the output from the model if nothing needs it.',
  },
  'map/no-stages': {
    title: 'a graph with nothing to place',
    why: 'What only reshapes, moves or adds up inputs is host arithmetic. Stages begin where token embeddings or fed features meet a weight, a norm or attention, and this graph has no such op.',
    fix: 'Compile the model that this graph was cut from, or run it on the host.',
  },
  'map/unsupported': {
    title: 'an op has no way to be cut over cores',
    why: 'There is no sharding rule for this form of the op.',
    fix: 'Report it with the node: the op runs in the reference executor, and a rule can be added.',
  },
  'pass/list': {
    title: 'a pass list cannot be read',
    why: 'The text of --passes is a list of names with options in braces: a{x=1},b.',
    fix: 'Quote it for the shell, and see `wafc passes` for the names.',
  },
  'pass/option': {
    title: 'a pass has no such option, or it takes another type',
    why: 'The options of a pass, and their types, are those of its defaults.',
    fix: '`wafc passes NAME` lists the options of a pass.',
  },
  'pass/order': {
    title: 'a pass needs a fact that no pass before it leaves',
    why: 'Passes say what they read, give and preserve; in this order a fact is missing when it is needed.',
    fix: '`wafc passes` shows who provides the fact; put that pass before.',
  },
  'pass/unknown': {
    title: 'there is no such pass',
    why: 'The name is not in the registry.',
    fix: '`wafc passes` lists the names.',
  },
  'run/bad-value': {
    title: 'an op met a value that it does not allow',
    why: 'The types are right, but a value at run time is out of range: an index, a repeat count, a target shape.',
    fix: 'Look at the inputs fed: token ids beyond the vocabulary are the most common cause.',
  },
  'run/too-large': {
    title: 'a value has more elements than memory holds',
    why: 'An op that was run asks for a result that is too large: a shape computed from inputs, most often, or a constant of a damaged model.',
    fix: 'Look at the shape that the node is given; with smaller inputs it may run.',
  },
  'todo/group-order': {
    title: 'quantized columns are not in the order of their groups',
    why: 'MatMulNBits with g_idx gives each column the scale of any group (GPTQ with act-order and moving groups). Tiles hold a scale for runs of columns.',
    fix: 'Quantize with static groups, which lose nothing and need no g_idx; compile the model that has them.',
  },
  'todo/op-form': {
    title: 'this form of the op is not supported yet',
    why: 'wafc has the op, but not with these attributes or operands.',
    fix: 'Report it with the node; other forms of the op work.',
  },
};
