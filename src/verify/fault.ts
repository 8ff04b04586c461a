/** What a verifier finds: a broken invariant of a program. Always our fault, never the user's. */
export interface Fault {
  /** Name of the invariant, as listed at the head of its verifier: `G2`, `P1`. */
  readonly rule: string;
  /** Names the thing, what was found and what should be. */
  readonly message: string;
  /** ONNX node nearest to it. */
  readonly node?: string;
}
