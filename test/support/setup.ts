/** Property tests draw the same cases every time, so that a red build is about the change; WAFC_SEED draws others. */
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env.WAFC_SEED ?? 1) });
