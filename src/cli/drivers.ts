/**
 * What the commands call. Each is one function of the driver layer; a command whose driver is not given does not
 * exist. cli.ts is the only place where real ones are put in.
 */
import type {
  Answer,
  BenchArguments,
  CheckArguments,
  CompileArguments,
  CompressionArguments,
  Effects,
  EmitArguments,
  ReportArguments,
  RunArguments,
  VerifyArguments,
} from '../driver/contract.ts';
import type { Recognised } from '../driver/structure.ts';
import type { Target } from '../ir/target.ts';
import type { OnnxModel } from '../onnx/model.ts';
import type { PassRegistry } from '../pass/pass.ts';

export type {
  Answer,
  BenchArguments,
  CheckArguments,
  CompileArguments,
  CompressionArguments,
  Effects,
  EmitArguments,
  ReportArguments,
  RunArguments,
  VerifyArguments,
};

type Driver<A> = (args: A, effects: Effects) => Promise<Answer> | Answer;

export interface Drivers {
  readonly version: string;
  readonly compile?: Driver<CompileArguments>;
  readonly check?: Driver<CheckArguments>;
  readonly verify?: Driver<VerifyArguments>;
  readonly emit?: Driver<EmitArguments>;
  readonly run?: Driver<RunArguments>;
  readonly report?: Driver<ReportArguments>;
  readonly bench?: Driver<BenchArguments>;
  readonly openModel?: (path: string) => OnnxModel;
  /** The architecture of an opened model; without it `wafc inspect` says what is in the file only. */
  readonly recognise?: (model: OnnxModel, patient: boolean) => Promise<Recognised>;
  /** Whether wafc has the op kind. */
  readonly knowsOp: (kind: string) => boolean;
  readonly passes?: PassRegistry;
  readonly targets?: {
    list(): readonly Target[];
    /** By name or path; throws Diagnosed. */
    load(name: string): Target;
  };
}
