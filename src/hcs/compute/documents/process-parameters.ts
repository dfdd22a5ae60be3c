import * as v from "valibot";
import { AgentError } from "../../../common/errors.ts";
import type { OciProcess, OciSpec } from "../../../protocol/schemas/oci.ts";
import type { UvmProcessOptions } from "../../guest/guest-connection.ts";
import type { ContainerProcessOptions } from "../../guest/guest-container.ts";
import type { ProcessParameters } from "./schema2.ts";
import { parseStrictly } from "./strict.ts";

const characters = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff));

/** What a process in a Linux utility VM can be given; a field of HCS's schema that is missing here is refused. */
const ociObject = <T>() =>
  v.optional(v.custom<T>((value) => typeof value === "object" && value !== null, "expected an object"));

const schema = v.strictObject({
  CommandLine: v.optional(v.string()),
  CommandArgs: v.optional(v.array(v.string())),
  User: v.optional(v.string()),
  AdditionalGroups: v.optional(v.array(v.string())),
  WorkingDirectory: v.optional(v.string()),
  Environment: v.optional(v.record(v.string(), v.string())),
  EmulateConsole: v.optional(v.boolean()),
  CreateStdInPipe: v.optional(v.boolean()),
  CreateStdOutPipe: v.optional(v.boolean()),
  CreateStdErrPipe: v.optional(v.boolean()),
  ConsoleSize: v.optional(v.pipe(v.array(characters), v.length(2, "expected height and width"))),
  CreateInUtilityVm: v.optional(v.boolean()),
  OCIProcess: ociObject<OciProcess>(),
  OCISpecification: ociObject<OciSpec>(),
});

export type CheckedParameters = v.InferOutput<typeof schema>;

/** @throws AgentError INVALID_JSON naming the field that is not known or wrong */
export function checkParameters(parameters: ProcessParameters): CheckedParameters {
  const checked = parseStrictly(schema, parameters, "process parameters");
  if (checked.CommandLine && checked.CommandArgs?.length) {
    throw new AgentError("INVALID_ARGUMENT", "process parameters: give CommandLine or CommandArgs, not both");
  }
  // Each of these describes the process whole: what stands beside it would have no effect.
  for (const whole of ["OCISpecification", "OCIProcess"] as const) {
    if (checked[whole] !== undefined)
      refuseDescriptions(checked, `beside ${whole}, which says so itself`, whole);
  }
  return checked;
}

/** What says how the process is to be, rather than which streams to connect. */
const DESCRIPTIONS = [
  ...(["CommandLine", "CommandArgs", "User", "AdditionalGroups", "WorkingDirectory", "Environment"] as const),
  ...(["ConsoleSize", "OCIProcess", "OCISpecification"] as const),
];

/**
 * @param why the field would have no effect
 * @throws AgentError INVALID_ARGUMENT naming a field that is there, but for `except`
 */
function refuseDescriptions(
  parameters: CheckedParameters,
  why: string,
  except?: keyof CheckedParameters,
): void {
  for (const field of DESCRIPTIONS) {
    const value = parameters[field];
    const isEmpty = value === undefined || value === "" || Object.keys(value).length === 0;
    if (field === except || isEmpty) continue;
    throw new AgentError(
      "INVALID_ARGUMENT",
      `process parameters: ${field} has no effect ${why}; leave it out`,
    );
  }
}

function wantedStreams(parameters: CheckedParameters) {
  return {
    stdin: parameters.CreateStdInPipe === true,
    stdout: parameters.CreateStdOutPipe === true,
    // A terminal has one output; HCS ignores the wish for a second, too.
    stderr: parameters.CreateStdErrPipe === true && !hasTerminal(parameters),
  };
}

function hasTerminal(parameters: CheckedParameters): boolean {
  return parameters.EmulateConsole === true || parameters.OCIProcess?.terminal === true;
}

/** For a process in the utility VM, outside any container. */
export function utilityVmProcess(parameters: CheckedParameters): UvmProcessOptions {
  const { CommandArgs, CommandLine, WorkingDirectory, Environment, ConsoleSize } = parameters;
  for (const field of ["User", "AdditionalGroups", "OCIProcess", "OCISpecification"] as const) {
    const value = parameters[field];
    if (value === undefined || Object.keys(value).length === 0) continue;
    const message = `process parameters: ${field} has no meaning for a process in the utility VM`;
    throw new AgentError("NOT_SUPPORTED", message);
  }
  const [rows, columns] = ConsoleSize ?? [];
  return {
    ...wantedStreams(parameters),
    ...(CommandArgs?.length ? { commandArgs: CommandArgs } : { commandLine: CommandLine ?? "" }),
    ...(WorkingDirectory && { workingDirectory: WorkingDirectory }),
    ...(Environment && { environment: Environment }),
    ...(hasTerminal(parameters) && { terminal: true }),
    ...(rows && columns && { consoleSize: { rows, columns } }),
  };
}

/**
 * For the first process of a container that was made by its own specification, which says what runs.
 * @throws AgentError INVALID_ARGUMENT naming what the parameters say in its place
 */
export function specifiedInit(parameters: CheckedParameters, spec: OciSpec): ContainerProcessOptions {
  refuseDescriptions(parameters, "in the first process of a container with an OCI specification");
  if (parameters.EmulateConsole === true && spec.process.terminal !== true) {
    const message =
      "process parameters: EmulateConsole has no effect, as the OCI specification's process has no terminal; set it there";
    throw new AgentError("INVALID_ARGUMENT", message);
  }
  return initProcess(parameters, spec);
}

/** For a container's init, which its spec describes. */
export function initProcess(parameters: CheckedParameters, spec: OciSpec): ContainerProcessOptions {
  const terminal = spec.process.terminal === true;
  return {
    ...wantedStreams(terminal ? { ...parameters, EmulateConsole: true } : parameters),
    terminal,
  };
}

/** Whether the parameters say what to run, rather than only which streams to connect. */
export function namesProgram({ CommandArgs, CommandLine, OCIProcess }: CheckedParameters): boolean {
  return OCIProcess !== undefined || (CommandArgs?.length ?? 0) > 0 || (CommandLine ?? "") !== "";
}

/** For a further process in a container whose init has been started. */
export function furtherProcess(parameters: CheckedParameters, init: OciProcess): ContainerProcessOptions {
  if (parameters.OCISpecification !== undefined) {
    const message =
      "process parameters: OCISpecification makes the container and belongs to its first process";
    throw new AgentError("INVALID_ARGUMENT", message);
  }
  const process = parameters.OCIProcess ?? processLike(init, parameters);
  return { ...wantedStreams(parameters), process, terminal: hasTerminal(parameters) };
}

/**
 * The container's own process, but for what the parameters say.
 * @throws AgentError INVALID_ARGUMENT when they name no program
 */
export function processLike(init: OciProcess, parameters: CheckedParameters): OciProcess {
  const { User, AdditionalGroups, WorkingDirectory, Environment, ConsoleSize } = parameters;
  const [height, width] = ConsoleSize ?? [];
  const { terminal: _terminal, consoleSize: _consoleSize, ...base } = init;
  return {
    ...base,
    args: argumentsOf(parameters),
    ...(hasTerminal(parameters) && { terminal: true }),
    ...(height !== undefined && width !== undefined && { consoleSize: { height, width } }),
    ...(WorkingDirectory && { cwd: WorkingDirectory }),
    ...userLike(init.user, User, AdditionalGroups),
    ...(Environment && { env: mergeEnvironment(init.env ?? [], Environment) }),
  };
}

/** As another user it keeps the groups that were asked for beside the container's own user's. */
function userLike(
  user: OciProcess["user"],
  User = "",
  AdditionalGroups: string[] = [],
): Pick<OciProcess, "user"> {
  if (User === "" && AdditionalGroups.length === 0) return {};
  const base = User === "" ? { uid: 0, gid: 0, ...user } : { username: User };
  const additionalGroups = [...(user?.additionalGroups ?? []), ...AdditionalGroups];
  return { user: { ...base, ...(additionalGroups.length > 0 && { additionalGroups }) } };
}

function argumentsOf({ CommandArgs, CommandLine }: CheckedParameters): string[] {
  if (CommandArgs?.length) return CommandArgs;
  // A shell splits a command line as its author meant it.
  if (CommandLine) return ["/bin/sh", "-c", CommandLine];
  throw new AgentError(
    "INVALID_ARGUMENT",
    "process parameters: no program; give CommandArgs, CommandLine or OCIProcess",
  );
}

function mergeEnvironment(base: readonly string[], added: Readonly<Record<string, string>>): string[] {
  const kept = base.filter((entry) => !Object.hasOwn(added, entry.split("=", 1)[0] ?? ""));
  return [...kept, ...Object.entries(added).map(([name, value]) => `${name}=${value}`)];
}
