/** Codes of plans: whether they fit, and whether their files are whole. */
import type { CodeTable } from '../codes.ts';

export const PLAN_CODES: CodeTable = {
  'fit/fabric': {
    title: 'the regions need more cores than the target has',
    why: 'Every weight, the KV cache and every buffer stay in the SRAM of some core; there are too few cores for them.',
    fix: 'See what the message offers: a shorter context, fewer bits per weight, a larger target.',
  },
  'fit/sparse': {
    title: 'weights are stored without their zeros',
    why: 'Tiles full of zeros are stored with an index and without them, where that makes the fullest core smaller. Reading an index costs cycles that nobody has measured on a wafer for one token at a time; the cost model charges assumed ones.',
    fix: 'Nothing is wrong. --passes with choose-regions{dense=true} stores zeros like other values.',
  },
  'fit/sram': {
    title: 'a core needs more SRAM than a program may use',
    why: 'Code, stack, weights, KV cache and buffers of the fullest core add up to more than the target gives a core.',
    fix: 'See what the message offers; each of those changes was tried and fits.',
  },
  'npy/format': {
    title: 'the file is not an .npy or .npz array',
    why: 'Inputs are read from numpy files of numbers in C order; this one has another form.',
    fix: 'Save the arrays with numpy.savez(file, name=array).',
  },
  'plan/blob-size': {
    title: 'a tile has another size than its tensor needs',
    why: 'plan.json and weights.bin disagree about how many bytes a tile has.',
    fix: 'The files are of different plans: compile again.',
  },
  'plan/invalid': {
    title: 'plan.json does not hold together',
    why: 'The file is not JSON, or not a plan as schemas/ describes one, or its parts contradict each other.',
    fix: 'Compile again; a plan is not meant to be edited by hand.',
  },
  'plan/missing': {
    title: 'the folder is no plan',
    why: 'A plan is a folder with a plan.json in it.',
    fix: 'Give the folder that `wafc compile -o` wrote.',
  },
  'plan/other-model': {
    title: 'the model beside the plan is another one',
    why: 'Inputs and outputs of model.onnx are not those that plan.json names: files of two plans were mixed.',
    fix: 'Keep the files of a plan together, or compile again.',
  },
  'plan/truncated': {
    title: 'weights.bin ends too early',
    why: 'A tile that plan.json names lies beyond the end of weights.bin.',
    fix: 'The file was cut short: copy it again, or compile again.',
  },
  'verify/input': {
    title: 'the given inputs cannot be used',
    why: 'Inputs are files of tensors, and each must say which input of the model it is: by its name in an .npz or .pb, or as NAME=file.',
    fix: '`wafc inspect` lists the inputs of a model.',
  },
  'verify/filled': {
    title: 'inputs that were not given follow from the others',
    why: 'Positions count on from the past, masks hide nothing, and a past that is not given is empty.',
    fix: 'Give them, when they should be something else.',
  },
  'verify/no-decoder': {
    title: 'the model cannot generate',
    why: 'Generating needs an output of logits, one per word of the vocabulary; the model has none.',
    fix: 'Leave --generate out.',
  },
  'verify/no-model': {
    title: 'there is no model to compare with',
    why: 'Values are verified against the model the plan was made from; a plan made with --no-weights has none.',
    fix: 'Give the model with --model, or compile without --no-weights.',
  },
  'verify/no-onnxruntime': {
    title: 'onnxruntime is not installed',
    why: 'Comparing with another runtime needs the package onnxruntime-node, which wafc does not bring along.',
    fix: 'Install it: npm install onnxruntime-node --ignore-scripts.',
  },
  'verify/onnxruntime': {
    title: 'onnxruntime does not run the model',
    why: 'The other runtime refuses the model, or one of its element types.',
    fix: 'See its own message; without --against the reference executor of wafc is the measure.',
  },
};
