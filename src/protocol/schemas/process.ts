import * as v from "valibot";
import { UVM_CONTAINER_ID } from "../container-id.ts";
import { integerBetween, jsonText, object, optional, requestBase, stringRecord, u16, u32 } from "./base.ts";
import { ociProcess } from "./oci.ts";
import { responseBase } from "./response.ts";

/** WaitForProcess.TimeoutInMs that means: for ever. */
export const INFINITE_TIMEOUT = 0xffffffff;
const HIGHEST_SIGNAL = 64;

const processParameters = object({
  /** A command for the utility VM, split at blanks as a shell does; used when CommandArgs is absent or empty. */
  CommandLine: optional(v.string()),
  /** The same, already split. */
  CommandArgs: optional(v.array(v.string())),
  /** Absolute, in the utility VM. */
  WorkingDirectory: optional(v.string()),
  Environment: optional(stringRecord),
  /** Whether a process in the utility VM gets a pseudo-terminal. Default false. */
  EmulateConsole: optional(v.boolean()),
  /** Initial size of that terminal in characters: height, width. */
  ConsoleSize: optional(v.array(u16)),
  /** Which streams the host listens for. Default false. */
  CreateStdInPipe: optional(v.boolean()),
  CreateStdOutPipe: optional(v.boolean()),
  CreateStdErrPipe: optional(v.boolean()),
  /** Runs the process outside any container, whatever ContainerId says. Default false. */
  CreateInUtilityVM: optional(v.boolean()),
  /** The same as older hosts spell it. */
  CreateInUtilityVm: optional(v.boolean()),
  /** A further process in a running container. Absent in the request that starts init. */
  OciProcess: optional(ociProcess),
});

const settings = object({
  /** JSON in a string on the wire. */
  ProcessParameters: jsonText(processParameters),
  /** Vsock ports of the host, one for each stream it listens for. */
  VsockStdioRelaySettings: optional(
    object({ StdIn: optional(u32), StdOut: optional(u32), StdErr: optional(u32) }),
  ),
});

/** Whether an execute request is for a process outside any container. */
export function runsInUtilityVm(request: v.InferOutput<typeof requestShape>): boolean {
  const { CreateInUtilityVM, CreateInUtilityVm } = request.Settings.ProcessParameters;
  return request.ContainerId === UVM_CONTAINER_ID || CreateInUtilityVM === true || CreateInUtilityVm === true;
}

const requestShape = object({ ...requestBase, Settings: settings });
const streams = [
  ["CreateStdInPipe", "StdIn"],
  ["CreateStdOutPipe", "StdOut"],
  ["CreateStdErrPipe", "StdErr"],
] as const;

export const executeRequest = v.pipe(
  requestShape,
  v.check(({ Settings }) => {
    const { ProcessParameters: parameters, VsockStdioRelaySettings: ports } = Settings;
    return streams.every(([wanted, port]) => parameters[wanted] !== true || (ports?.[port] ?? 0) !== 0);
  }, "a request with a port in Settings.VsockStdioRelaySettings for each stream that ProcessParameters asks for"),
  v.check((request) => {
    const { CommandArgs, CommandLine } = request.Settings.ProcessParameters;
    if (!runsInUtilityVm(request)) return true;
    return CommandArgs?.length ? CommandArgs[0] !== "" : (CommandLine ?? "").trim() !== "";
  }, "a request with a program in CommandArgs or CommandLine, since it is for the utility VM"),
);

/** The host's ports for the streams that the request asks for; an absent one is a stream nobody wants. */
export function stdioPortsOf(request: v.InferOutput<typeof requestShape>): {
  stdin?: number;
  stdout?: number;
  stderr?: number;
} {
  const { ProcessParameters: wanted, VsockStdioRelaySettings: ports } = request.Settings;
  const result: { stdin?: number; stdout?: number; stderr?: number } = {};
  if (wanted.CreateStdInPipe && ports?.StdIn !== undefined) result.stdin = ports.StdIn;
  if (wanted.CreateStdOutPipe && ports?.StdOut !== undefined) result.stdout = ports.StdOut;
  if (wanted.CreateStdErrPipe && ports?.StdErr !== undefined) result.stderr = ports.StdErr;
  return result;
}

export const executeResponse = object({
  ...responseBase,
  /** The process in the utility VM's pid namespace. */
  ProcessId: u32,
});

export const waitRequest = object({
  ...requestBase,
  ProcessId: u32,
  /** Milliseconds; 0xffffffff is for ever. */
  TimeoutInMs: u32,
});

export const waitResponse = object({
  ...responseBase,
  /** 0 to 255; 128 + N when signal N killed it. */
  ExitCode: u32,
});

export const signalRequest = object({
  ...requestBase,
  ProcessId: u32,
  Options: optional(
    object({
      /** Linux signal number, 1 to 64; 0 or absent means SIGKILL. */
      Signal: optional(integerBetween(0, HIGHEST_SIGNAL)),
    }),
  ),
});

const SIGKILL = 9;

/** The Linux signal number that a signal request means. */
export function signalOf(request: v.InferOutput<typeof signalRequest>): number {
  return request.Options?.Signal || SIGKILL;
}

export const resizeRequest = object({
  ...requestBase,
  ProcessId: u32,
  /** Rows. */
  Height: u16,
  /** Columns. */
  Width: u16,
});
