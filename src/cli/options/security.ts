import { resolve } from "node:path";
import type { SeccompProfile, SecuritySettings } from "../../hcs/uvm/default-spec.ts";
import { type OptionDescription, type ParsedArguments, UsageError } from "../arguments.ts";
import { readCount } from "../values.ts";
import { readText } from "./text-file.ts";

/** A profile of Docker's size is 20 KiB. */
const LARGEST_PROFILE = 1024 * 1024;
/** PID_MAX_LIMIT of a 64-bit kernel; proc_sys_kernel(5). */
const MOST_PIDS = 4 * 1024 * 1024;

const SECURITY_OPT: OptionDescription<SecuritySettings> = {
  name: "security-opt",
  value: "NAME=VALUE",
  multiple: true,
  read: readSecurityOption,
  completes: ["seccomp=unconfined", "systempaths=unconfined", "no-new-privileges=false"],
  help: "loosen the container's wall: seccomp=unconfined or seccomp=FILE,\nsystempaths=unconfined, no-new-privileges=false",
};
const PIDS_LIMIT: OptionDescription<number> = {
  name: "pids-limit",
  value: "N",
  read: (text, what) => (text === "-1" ? -1 : readCount(1, MOST_PIDS)(text, what)),
  help: "processes and threads of the container (default 4096, -1 for no limit)",
};

/** How much of the wall around a container stands. */
export const SECURITY_OPTIONS: readonly OptionDescription[] = [SECURITY_OPT, PIDS_LIMIT];

export function readSecurity(found: ParsedArguments): SecuritySettings {
  const pidsLimit = found.read(PIDS_LIMIT);
  return Object.assign({}, ...found.readAll(SECURITY_OPT), pidsLimit === undefined ? {} : { pidsLimit });
}

/** Names as Docker has them; both of its separators. */
function readSecurityOption(text: string, what: string): SecuritySettings {
  const [, name = "", value] = /^([^=:]*)(?:[=:](.*))?$/s.exec(text) ?? [];
  if (name === "seccomp" && value === "unconfined") return { seccomp: "unconfined" };
  if (name === "seccomp" && value !== undefined && value !== "") return { seccomp: readProfile(value, what) };
  if (name === "systempaths" && value === "unconfined") return { systemPaths: "unconfined" };
  if (name === "no-new-privileges" && [undefined, "true", "false"].includes(value))
    return { noNewPrivileges: value !== "false" };
  throw new UsageError(
    `${what}: expected seccomp=unconfined, seccomp=FILE, systempaths=unconfined or no-new-privileges=false`,
  );
}

function readProfile(file: string, what: string): SeccompProfile {
  const text = readText(resolve(file), { what, largest: LARGEST_PROFILE });
  let profile: unknown;
  try {
    profile = JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${what} is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (!isProfile(profile)) throw new UsageError(`${what} is no profile: it has no "defaultAction"`);
  // Its conditions on kernels and capabilities are Docker's to resolve; runtimes would leave them out.
  if ("archMap" in profile)
    throw new UsageError(
      `${what} has Docker's "archMap"; expected "linux.seccomp" of the OCI runtime specification, with "architectures"`,
    );
  return profile;
}

function isProfile(value: unknown): value is SeccompProfile {
  return (
    typeof value === "object" &&
    value !== null &&
    "defaultAction" in value &&
    typeof value.defaultAction === "string"
  );
}
