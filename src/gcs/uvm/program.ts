/**
 * Whether the kernel will run a container's program. A runtime finds out only in execve(2), when it has already said that
 * all is well: its complaint comes as the program's own output, and its exit code as the program's.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { AgentError } from "../../common/errors.ts";
import { describeStartFailure, type StartFailure } from "../../common/start-failure.ts";
import { HEAD_SIZE, inspectExecutable, isElf, MAXIMUM_SCRIPTS } from "../../linux/executable.ts";
import { type RootFile, readHeadInRoot, specialKind } from "../../linux/root-file.ts";
import type { OciProcess } from "../../runtime/runtime.ts";

const EXECUTABLE_BITS = 0o111;
const OWNERS_BIT = 0o100;

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
  let file = await findProgram(process, initPid);
  for (let scripts = 0; file !== undefined; scripts++) {
    const kind = specialKind(file);
    if (kind !== undefined) throw refusal(process, `${file.name} is ${kind}`);
    const { refused, interpreter, linker } = inspectExecutable(file.bytes);
    if (refused !== undefined) {
      if (!hasFurtherFormats()) throw refusal(process, `${file.name} ${refused}`);
      return;
    }
    if (linker !== undefined) {
      const found = await findInterpreter(process, initPid, linker);
      if (found !== undefined && !isElf(found.bytes)) throw refusal(process, `${found.name} is no ELF file`);
      return;
    }
    if (interpreter === undefined) return;
    if (scripts === MAXIMUM_SCRIPTS) throw refusal(process, "its interpreters are scripts without end");
    file = await findInterpreter(process, initPid, interpreter);
  }
}

interface Found extends RootFile {
  /** In a sentence about the command. */
  readonly name: string;
}

/** @returns undefined where only the kernel can tell. @throws AgentError COMMAND_NOT_EXECUTABLE */
async function findInterpreter(
  process: OciProcess,
  initPid: number,
  path: string,
): Promise<Found | undefined> {
  // A relative one is looked for where the process will be.
  if (!path.startsWith("/")) return undefined;
  const file = await readHeadInRoot(`/proc/${initPid}/root`, path, HEAD_SIZE);
  if (file === "unknown") return undefined;
  const name = `its interpreter ${JSON.stringify(path)}`;
  if (file === "absent") throw refusal(process, `${name} is not there`);
  const kind = specialKind(file);
  if (kind !== undefined) throw refusal(process, `${name} is ${kind}`);
  if ((file.mode & EXECUTABLE_BITS) === 0) throw refusal(process, `${name} is not executable`);
  if (!mayExecute(process, file, initPid))
    throw refusal(process, `${name} is not executable for user ${process.user?.uid ?? 0}`);
  return { ...file, name };
}

/**
 * What the bits of a file's owner say. Groups and everybody's are left to the kernel, which knows the file's access
 * list, too; acl(5). So is a process whose ids mean others: of another user namespace.
 */
function mayExecute({ user, capabilities }: OciProcess, { mode, owner }: RootFile, initPid: number): boolean {
  const { effective } = (capabilities ?? {}) as { effective?: readonly string[] };
  // The runtime starts it with these, whoever the user is.
  if (effective?.includes("CAP_DAC_OVERRIDE") === true) return true;
  if (userNamespace(initPid) !== userNamespace("self")) return true;
  return (user?.uid ?? 0) === owner ? (mode & OWNERS_BIT) !== 0 : (mode & EXECUTABLE_BITS) !== OWNERS_BIT;
}

function userNamespace(process: number | "self"): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/user`);
  } catch {
    // It has ended, which whoever starts something in it finds out.
    return undefined;
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

/** @throws AgentError COMMAND_NOT_EXECUTABLE for one that only another user may run */
async function findProgram(process: OciProcess, initPid: number): Promise<Found | undefined> {
  const { args = [], env = [], cwd = "/" } = process;
  const [command = ""] = args;
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? "";
  const candidates = command.includes("/")
    ? [resolve("/", cwd, command)]
    : path.split(":").map((directory) => join(directory, command));
  let isOthers = false;
  for (const candidate of candidates) {
    if (!candidate.startsWith("/")) continue;
    const file = await readHeadInRoot(`/proc/${initPid}/root`, candidate, HEAD_SIZE);
    if (typeof file === "string" || (file.mode & EXECUTABLE_BITS) === 0) continue;
    // A directory's bits are another permission: runtimes pass it by, and name it where it is the only one.
    if (specialKind(file) === "a directory") continue;
    if (mayExecute(process, file, initPid)) return { ...file, name: "it" };
    isOthers = true;
  }
  // Some runtimes look with more rights than the process will have, and take it.
  if (isOthers) throw refusal(process, `it is not executable for user ${process.user?.uid ?? 0}`);
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
