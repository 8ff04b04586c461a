/**
 * The invariants that verifiers hold programs and plans to, by family. An id is cited in the code that leans on the
 * rule, stands in the diagnostics (`verify/P3`), and is explained by `wafc explain verify/P3`. The head of each
 * verifier lists its own rules in these words; a test compares the two.
 */
export interface RuleFamily {
  /** What is checked: `placement`. */
  readonly name: string;
  /** By id: what holds when the rule does. */
  readonly rules: Readonly<Record<string, string>>;
}

export const RULES: readonly RuleFamily[] = [
  {
    name: 'graph',
    rules: {
      G1: 'tables agree: a name and a type per value, names unique',
      G2: 'every id an op, an output or a table uses is in range',
      G3: 'each value is defined once: as input, constant, capture or op output',
      G4: 'an op comes after the ops that define what it reads (topological order); graph outputs are defined',
      G5: 'known dims are integers >= 0',
      G6: "a constant's type is its value's type, and its view lies inside its source",
      G7: 'the op kind is registered and its version is one that the registry knows',
      G8: "a body's captures name values of the graphs around it",
    },
  },
  {
    name: 'stages',
    rules: {
      S1: 'what a stage or the host reads is given by the caller or made before, by the host or by an earlier stage; each once',
      S2: 'every value is made once, and every output of the model is made',
      S3: 'a stage reads values of the type and shape in which an earlier one makes them',
      S4: 'a cache takes in the past of the layer, and of the keys or values, whose present it gives',
    },
  },
  {
    name: 'layouts',
    rules: {
      D1: 'a product meets rows of its weight where the activation is, leaves columns where the weight has them, and owes the sum',
      D2: 'operands of ops that work element by element, and their result, are cut alike; gains and biases as the features',
      D3: 'a collective pays what is owed over its axes, gathers or scatters over them, and leaves all else where it is',
    },
  },
  {
    name: 'placement',
    rules: {
      P1: 'a region is a rectangle of whole cores inside the fabric, columns and rows that it skips included',
      P2: 'no two of these rectangles share a core',
      P3: 'no region covers a core that must not be used',
      P4: 'every stage is in exactly one region, and no other stages are',
      P5: 'a region has the shape of the program of each of its stages',
      P6: 'region i holds the stages of group i, in order',
      P7: 'the same regions, moved by the offset of each replica, hold P1, P2 and P3 too',
    },
  },
  {
    name: 'fit',
    rules: {
      F1: 'every buffer ends within the SRAM of a core',
      F2: 'no two buffers that are live at the same time overlap',
      F3: "every buffer starts at a multiple of the target's alignment",
      F4: 'the stated peak is where the highest buffer ends',
      F5: 'every tensor of every stage has one buffer, large enough for the largest tile, for state once per sequence',
      F6: 'a buffer is live whenever an op, the stage before or the stage after touches what it holds; residents always',
      F7: 'code and stack are given what the target reserves',
      F8: 'a reduction has room for what it receives; all of it when the merge needs the statistics first',
      F9: 'one map per group; every buffer has a name of its own, and holds something the group has',
      F10: 'where the target has banks, activations start in others than weights and state',
    },
  },
  {
    name: 'routing',
    rules: {
      R1: 'the runs of a flow are sets of cores inside its rectangle that share no core',
      R2: 'a route receives from one port and sends to others; colors and switch positions are those that the target has',
      R3: 'every template is in one class, those of a region in the same; a class has phases for each, and no other flows',
      R4: 'every collective between cores has its phases, in order, by an algorithm that does it; no other phase is there',
      R5: 'along every line of a phase each message reaches exactly its receivers, and no router of its flows is idle',
      R6: 'every value goes to all cores of every region that reads it, or to the host, whole, and nowhere else',
      R7: 'a core binds a queue that the target has where a route meets its ramp, and none elsewhere',
      R8: 'at any time a core has one route for a color and one color for a queue, those that are needed then',
      R9: 'the schedule gives every collective the cycles that its busiest link needs, and those of writing routes',
      R10: 'no cycle of links waits for itself',
      R11: 'routers of defects, and those that a region passes over, only pass on, one way a color, if they may at all',
    },
  },
  {
    name: 'schedule',
    rules: {
      T1: 'the ops of a template run in order, one when the other ends, from cycle 0 on',
      T2: 'nothing takes less than its bound, or than its routes take; beside that every send takes the same',
      T3: 'the cycles of a step are those of the ops of all stages, less what they save where they join, of sends and the host',
      T4: 'sends are those of the routes, in order; collectives are by the algorithms of their phases',
      T5: "the host's bytes are those of the values that it gives and takes",
    },
  },
  {
    name: 'weights.bin',
    rules: {
      W1: 'weights.bin is there, unless the plan was made without weights',
      W2: 'it has the length that the plan states',
      W3: 'every blob has its SHA-256',
      W4: 'the whole file has its SHA-256',
    },
  },
  {
    name: 'coverage',
    rules: {
      C1: 'every weight is a constant of the model, of the same elements',
      C2: 'every element of a weight is in exactly one tile, and the file has all tiles',
      C3: 'the elements of every tile are those of the constant, byte for byte',
      C4: 'sparse tiles have the bytes, values and non-zeros that the plan states: no tile more, and one as many',
    },
  },
];

/** What holds when rule `id` (`P3`) does; undefined for an id that is none. */
export function ruleOf(id: string): string | undefined {
  for (const { rules } of RULES) if (Object.hasOwn(rules, id)) return rules[id];
  return undefined;
}
