/** Codes of routing. */
import type { CodeTable } from '../codes.ts';

export const ROUTE_CODES: CodeTable = {
  'report/core': {
    title: 'there is no such core',
    why: 'Cores are named by column and row of the program rectangle, from 0.',
    fix: 'Give a core inside the rectangle; `wafc report PLAN` shows where regions stand.',
  },
  'route/colors': {
    title: 'the target has too few colors',
    why: 'Flows that meet at a core at the same time need different colors: those of one collective, and those that carry values in and out of regions. The message says how many are needed, how many there are, and how many are missing.',
    fix: 'List more colors in the target file if the machine has them; some algorithms need colors that can be switched.',
  },
  'route/copies': {
    title: 'the host reaches the first copy of the model only',
    why: 'With --objective throughput the fabric holds copies of the model. Routes inside and between the regions of a copy are those of the first one, shifted; values of the host would have to cross other copies to reach those in the middle, and no colors are kept for that yet.',
    fix: 'Take the throughput as that of the regions; a plan without --objective throughput has all its routes.',
  },
  'route/queues': {
    title: 'the target has too few queues',
    why: 'A core binds a queue to each color that it receives from, or sends on, at the same time. The most modest algorithm still needs the number that the message names.',
    fix: 'Raise queues.input or queues.output in the target file if the machine has them.',
  },
  'route/unreachable': {
    title: 'a region is cut off',
    why: 'Routes go around routers that do not pass messages on, and here no way is left.',
    fix: 'If routers of unusable cores still work, say so in the target file: "defectsForward": true.',
  },
};
