/**
 * Whether the kernel will run a container's program. A runtime finds out only in execve(2), when it has already said that
 * all is well: its complaint comes as the program's own output, and its exit code as the program's.
 */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { AgentError } from "../../errors.ts";
import { HEAD_SIZE, inspectExecutable } from "../../linux/executable.ts";
import { readHeadInRoot } from "../../linux/root-file.ts";
import type { OciProcess } from "../../runtime/runtime.ts";
import { describeStartFailure, type StartFailure } from "../../start-failure.ts";

const EXECUTABLE_BITS = 0o111;

/**
 * What runtimes read differently: crun takes a working directory from the root, and an empty name for the root itself.
 * @throws AgentError COMMAND_NOT_FOUND, INVALID_WORKING_DIRECTORY
 */
export function checkProcess(process: OciProcess): void {
  const { args = [], cwd = "" } = process;
  if (!args[0]) throw refusal(process, "it is empty", "COMMAND_NOT_FOUND");
  if (!cwd.startsWith("/")) throw refusal(process, "it is not absolute", "INVALID_WORKING_DIRECTORY");
}

/**
 * @param initPid of the container: its root is where its processes see it, mounts included.
 * @throws AgentError COMMAND_NOT_EXECUTABLE. What cannot be looked at is the runtime's and the kernel's to judge.
 */
export async function refuseProgram(process: OciProcess, initPid: number): Promise<void> {
  const root = `/proc/${initPid}/root`;
  const head = await findProgram(process, root);
  if (head === undefined) return;
  const { refused, interpreter } = inspectExecutable(head);
  if (refused !== undefined) {
    if (!hasFurtherFormats()) throw refusal(process, refused);
    return;
  }
  // A relative one is looked for where the process will be.
  if (interpreter?.startsWith("/") && (await readHeadInRoot(root, interpreter, 0)) === "absent") {
    throw refusal(process, `its interpreter ${JSON.stringify(interpreter)} is not there`);
  }
}

function refusal(
  { args = [], cwd = "" }: OciProcess,
  reason: string,
  failure: StartFailure = "COMMAND_NOT_EXECUTABLE",
): AgentError {
  const subject = { command: args[0] ?? "", workingDirectory: cwd };
  return new AgentError(failure, `${describeStartFailure(failure, subject)}: ${reason}`);
}

async function findProgram(
  { args = [], env = [], cwd = "/" }: OciProcess,
  root: string,
): Promise<Buffer | undefined> {
  const [command = ""] = args;
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  const candidates = command.includes("/")
    ? [resolve("/", cwd, command)]
    : path.split(":").map((directory) => join(directory, command));
  for (const candidate of candidates) {
    if (!candidate.startsWith("/")) continue;
    const file = await readHeadInRoot(root, candidate, HEAD_SIZE);
    if (typeof file !== "string" && (file.mode & EXECUTABLE_BITS) !== 0) return file.bytes;
  }
  return undefined;
}

/** Somebody has told the kernel of programs of another kind, binfmt_misc: which, only it knows. */
function hasFurtherFormats(): boolean {
  try {
    const names = readdirSync("/proc/sys/fs/binfmt_misc");
    return names.some((name) => name !== "register" && name !== "status");
  } catch {
    // Not built, or not mounted: there are none.
    return false;
  }
}
