import { AgentError } from "../../common/errors.ts";
import type { OciSpec } from "../../protocol/schemas/oci.ts";
import type { ProcessParameters } from "../compute/documents/schema2.ts";

/** What version 1's createProcess takes: every field of hcsshim's ProcessConfig. */
export interface ProcessConfig {
  /** Windows: refused when set. */
  readonly ApplicationName?: string;
  /** Instead of CommandArgs: see ProcessParameters. */
  readonly CommandLine?: string;
  readonly CommandArgs?: readonly string[];
  /** "UID[:GID]" or "NAME[:GROUP]". */
  readonly User?: string;
  readonly WorkingDirectory?: string;
  readonly Environment?: Readonly<Record<string, string>>;
  /** A terminal; then there is no stderr of its own. */
  readonly EmulateConsole?: boolean;
  readonly CreateStdInPipe?: boolean;
  readonly CreateStdOutPipe?: boolean;
  readonly CreateStdErrPipe?: boolean;
  /** Height, then width; characters. [0, 0] means the default. */
  readonly ConsoleSize?: readonly number[];
  /** Outside the container, in its utility VM. */
  readonly CreateInUtilityVm?: boolean;
  /** For the first process: the container's whole OCI specification. */
  readonly OCISpecification?: OciSpec;
}

/** @throws AgentError NOT_SUPPORTED naming a field without a meaning that is set */
export function checkProcessConfig(config: ProcessConfig): ProcessParameters {
  const { ApplicationName, ConsoleSize, ...parameters } = config;
  if (ApplicationName) {
    throw new AgentError("NOT_SUPPORTED", "process config: ApplicationName has a meaning for Windows only");
  }
  const hasSize = ConsoleSize?.some((size) => size !== 0);
  return { ...parameters, ...(hasSize && { ConsoleSize }) };
}
