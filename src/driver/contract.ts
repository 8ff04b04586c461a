/**
 * What the driver layer is asked, and what it answers: functions from these arguments to an Answer. The command
 * line reads argv into them and prints what comes back; nothing here knows about argv or streams.
 */
import type { Diagnostic } from '../diag/diagnostic.ts';
import type { GenerationArguments } from '../generate/text.ts';
import type { PassFlags } from '../pass/flags.ts';
import type { Progress } from '../util/progress.ts';

/** What a command has to say. Exactly one of `text` and `json` is asked for. */
export interface Answer {
  /** For people; ends with a line end. */
  text(): string;
  /** One document; its `schema` says which. */
  json(): unknown;
  /** 0: done. 1: the input's fault (it does not fit). 3: verification failed. 130: interrupted. */
  readonly exitCode: 0 | 1 | 3 | 130;
  /** Shown on stderr, errors included when the exit code is not 0. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Effects a driver may have while it works: progress and text for people, both on stderr. */
export interface Effects {
  readonly progress: Progress;
  /** Silent under `--quiet`. */
  note(text: string): void;
  /** For what was asked for by a flag (`--print-after`, `--time`): shown even under `--quiet`. */
  show(text: string): void;
  /** A part of the answer as it becomes known: to stdout, but not under `--json`. */
  stream(text: string): void;
  /** From now on an interrupt (Ctrl-C) does not end the process but aborts this signal; a second one ends it. */
  interruption(): AbortSignal;
  now(): number;
}

/** How weights are compressed, and what is measured of it. */
export interface CompressionArguments {
  /** A format of compression.md section 6.2. */
  readonly quantize?: string;
  readonly algo?: string;
  /** What goes, as src/compress/prune/words.ts reads it. */
  readonly prune?: readonly string[];
  /** A text to calibrate on; `self` is sampled from the model. */
  readonly calib?: string;
  readonly tokenizer?: string;
  /** How keys and values are kept: fp16, int8, int4:kivi32. */
  readonly kv?: string;
  /** How inputs of linear layers are rounded: int8:token, int8:static:p99.99. */
  readonly act?: string;
  /** Strength of SmoothQuant; 0 for none. Default: 0.5 with `act`, a text to calibrate on and weights of at least 8 bits. */
  readonly smooth?: number;
  /** With `auto`: most bytes of a core (36KiB/core) or of all weights (12GB). */
  readonly budget?: string;
  /** `layer=format`. */
  readonly override: readonly string[];
  readonly exclude: readonly string[];
  /** A text to measure perplexity on. */
  readonly evaluate?: string;
  /** Percent that perplexity may rise by. */
  readonly maxPpl?: number;
  /** Where the compressed model goes as plain ONNX. */
  readonly exportOnnx?: string;
  readonly onnxStyle: 'matmulnbits' | 'qdq' | 'float';
}

/** No compression. */
export const NO_COMPRESSION: CompressionArguments = { override: [], exclude: [], onnxStyle: 'matmulnbits' };

export interface CompileArguments {
  readonly model: string;
  /** Name of a known target, or path of a target file. */
  readonly target: string;
  readonly output?: string;
  readonly context?: number;
  readonly batch?: number;
  /** Symbolic dims of the model -> numbers. */
  readonly bindings: Readonly<Record<string, number>>;
  readonly objective: 'latency' | 'throughput';
  /** Regions of the whole model; absent or 0: as the search finds best. */
  readonly regions?: number;
  /** Equal layers in one region, at most; absent or 0: as the search finds best. */
  readonly layersPerRegion?: number;
  /** Lengths of prompts whose time to first token is reported. */
  readonly promptTokens?: readonly number[];
  /** A file that gets the report as JSON. */
  readonly report?: string;
  /** Whether weights.bin and model.onnx are written. */
  readonly weights: boolean;
  readonly seed: number;
  readonly compression: CompressionArguments;
  readonly flags: PassFlags;
}

export interface VerifyArguments {
  readonly plan: string;
  /** The original model, when it is not the plan's own. */
  readonly model?: string;
  readonly against?: 'onnxruntime';
  readonly seed: number;
  /** Length of random inputs. */
  readonly tokens?: number;
  /** Tokens to generate and compare. */
  readonly generate?: number;
  /** Files of inputs: see src/exec/read-feeds.ts. */
  readonly input?: readonly string[];
  /** Writes the HTML page here, too. */
  readonly html?: string;
  /** All ops in the text, not the worst of each stage. */
  readonly ops?: boolean;
  /** A text to be predicted, with its tokenizer; `windows` windows of `window` predictions. */
  readonly perplexity?: string;
  readonly tokenizer?: string;
  readonly windows?: number;
  readonly window?: number;
}

export interface CheckArguments {
  readonly plan: string;
  /** The model whose weights the plan should hold, when it is not the plan's own model.onnx. */
  readonly model?: string;
}

export interface BenchArguments {
  readonly what: 'waferllm' | 'calibrate';
  /** Further published rows. */
  readonly csv?: string;
  /** Whether plans of ours are made for comparison: some seconds. */
  readonly own: boolean;
}

export interface EmitArguments {
  readonly model: string;
  /** A new folder, or one that `wafc emit` wrote. */
  readonly output: string;
  /** Symbolic dims of the model -> numbers. */
  readonly bindings: Readonly<Record<string, number>>;
}

export interface RunArguments extends GenerationArguments {
  readonly plan: string;
  /** The graph of model.onnx, or the region programs core by core. */
  readonly mode: 'reference' | 'placed';
  /** A plan whose model drafts `draftTokens` tokens at once. */
  readonly draft?: string;
  readonly draftTokens: number;
}

export interface ReportArguments {
  readonly plan: string;
  /** Writes the HTML page here, too. */
  readonly html?: string;
  /** One core's program instead of the plan's figures. */
  readonly core?: { readonly x: number; readonly y: number };
}
