/**
 * Containers of runc, crun and others with their command line, for programs that run as root on Linux: no virtual
 * machine, no service. examples/runtime.ts is a complete program.
 *
 * A program makes one Supervisor, which owns its children from then on, and an OciRuntime for each command and state
 * directory. A container of OciRuntime.createContainer() lives until it is deleted.
 */
export { AgentError, type ErrorCode } from "../common/errors.ts";
export type { CgroupStatistics } from "../linux/cgroups/statistics.ts";
export { Supervisor } from "../linux/supervisor.ts";
export type { ConnectionSet } from "../stdio/connection-set.ts";
export { OciRuntime, type OciRuntimeOptions } from "./runc/runc.ts";
export type * from "./runtime.ts";
export { type StandardStreams, standardStreams } from "./standard-streams.ts";
