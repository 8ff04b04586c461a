/**
 * Worker threads that run kernels in the memory of a {@link KernelMemory}. They sleep until there is work; the caller takes the
 * first part itself and waits for the others. Which thread computes what changes no result: kernels sum in one order
 * wherever rows and columns are cut.
 */
import { Worker } from 'node:worker_threads';
import type { KernelMemory } from './memory.ts';

/** Kernels that are handed out, by number: the workers know them by it. */
const KERNELS = ['gemm', 'gemm_codes'] as const;
export type SharedKernel = (typeof KERNELS)[number];

/** Words of a worker's mailbox: number of the last job posted and done, whether it listens, the kernel, its arguments. */
const [POSTED, DONE, READY, KERNEL, ARGUMENTS] = [0, 1, 2, 3, 4];
const WORDS = 32;

/** Plain JavaScript, so that it runs from sources and from the built package alike. */
const WORKER = `
const { module, memory, box, kernels } = require('node:worker_threads').workerData;
const { exports } = new WebAssembly.Instance(module, { wafc: { memory } });
Atomics.store(box, ${READY}, 1);
for (let job = 0; ; ) {
  Atomics.wait(box, ${POSTED}, job);
  job = Atomics.load(box, ${POSTED});
  exports[kernels[box[${KERNEL}]]](...box.subarray(${ARGUMENTS}));
  Atomics.store(box, ${DONE}, job);
  Atomics.notify(box, ${DONE});
}
`;

export class Threads {
  private readonly memory: KernelMemory;
  private readonly boxes: Int32Array[];

  /** `count` threads in all, the caller's included. Workers do not keep a process alive. */
  constructor(memory: KernelMemory, count: number) {
    this.memory = memory;
    this.boxes = Array.from({ length: Math.max(0, count - 1) }, () => {
      const box = new Int32Array(new SharedArrayBuffer(4 * WORDS));
      new Worker(WORKER, { eval: true, workerData: { ...memory.shared, box, kernels: KERNELS } }).unref();
      return box;
    });
  }

  /** Threads that would take part now: workers need a moment to start. */
  get ready(): number {
    return 1 + this.boxes.filter((box) => Atomics.load(box, READY) === 1).length;
  }

  /** Runs one kernel with each list of arguments; at most {@link ready} of them. */
  run(kernel: SharedKernel, jobs: readonly (readonly number[])[]): void {
    const idle = this.boxes.filter((box) => Atomics.load(box, READY) === 1);
    const [own, ...others] = jobs;
    const posted = others.map((job, i) => {
      const box = idle[i];
      box[KERNEL] = KERNELS.indexOf(kernel);
      box.set(job, ARGUMENTS);
      Atomics.add(box, POSTED, 1);
      Atomics.notify(box, POSTED);
      return box;
    });
    const { kernels } = this.memory;
    const call: (...args: number[]) => void = kernels[kernel];
    call(...own);
    for (const box of posted) {
      for (let done = box[DONE]; done !== box[POSTED]; done = Atomics.load(box, DONE)) Atomics.wait(box, DONE, done);
    }
  }
}
