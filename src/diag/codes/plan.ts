/** Codes of plans: whether they fit, and whether their files are whole. */
import type { CodeTable } from '../codes.ts';

export const PLAN_CODES: CodeTable = {
  'fit/fabric': {
    title: 'the regions need more cores than the target has',
    why: 'Every weight, the KV cache and every buffer stay in the SRAM of some core; there are too few cores for them.',
    fix: 'See what the message offers: a shorter context, fewer bits per weight, a larger target.',
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
  'plan/truncated': {
    title: 'weights.bin ends too early',
    why: 'A tile that plan.json names lies beyond the end of weights.bin.',
    fix: 'The file was cut short: copy it again, or compile again.',
  },
};
