/** What annotations change of a container's limits. Source: hcsshim internal/guest/spec/spec.go. */
import { AgentError } from "../../../common/errors.ts";
import type { OciProcess, OciSpec } from "../../../protocol/schemas/oci.ts";
import { ANNOTATIONS, annotation, quote } from "./annotations.ts";

const SHARED_MEMORY = "/dev/shm";
const HIGHEST_LIMIT = 2n ** 64n - 1n;

/**
 * Core dumps, as "SOFT;HARD" in bytes.
 * @throws AgentError INVALID_ARGUMENT for other words
 */
export function coreLimited(process: OciProcess, spec: OciSpec): OciProcess {
  const text = annotation(spec, "coreLimit");
  if (text === "") return process;
  const [soft, hard, ...rest] = text.split(";").map(readUnsigned64);
  if (soft === undefined || hard === undefined || rest.length > 0) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `annotation ${ANNOTATIONS.coreLimit} is ${quote(text)}; it is "SOFT;HARD", two numbers of bytes`,
    );
  }
  const others = Array.isArray(process.rlimits) ? process.rlimits : [];
  return {
    ...process,
    rlimits: [
      ...others.filter((limit) => limit?.type !== "RLIMIT_CORE"),
      { type: "RLIMIT_CORE", soft, hard },
    ],
  };
}

/**
 * A /dev/shm of that many KiB in the place of the spec's own.
 * @throws AgentError INVALID_ARGUMENT for what is no number from 1
 */
export function sharedMemorySized(spec: OciSpec): OciSpec {
  const text = spec.annotations?.[ANNOTATIONS.sharedMemorySize];
  if (text === undefined) return spec;
  const size = readUnsigned64(text);
  if (size === undefined || size === 0) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `annotation ${ANNOTATIONS.sharedMemorySize} is ${quote(text)}; it is a number of KiB, from 1`,
    );
  }
  const mount = {
    destination: SHARED_MEMORY,
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${size}k`],
  };
  return {
    ...spec,
    mounts: [...(spec.mounts ?? []).filter(({ destination }) => destination !== SHARED_MEMORY), mount],
  };
}

function readUnsigned64(text: string): number | bigint | undefined {
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const value = BigInt(text);
  if (value > HIGHEST_LIMIT) return undefined;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
