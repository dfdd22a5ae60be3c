import { type ChildProcessByStdio, spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { AgentError } from "../../../common/errors.ts";
import { SANDBOX } from "./confinement.ts";

export type QemuProcess = ChildProcessByStdio<null, Readable, Readable>;

export interface QemuProgram {
  readonly path: string;
  readonly parameters: readonly string[];
  /** Options of setpriv(1), from confine(). */
  readonly confinement: readonly string[];
  /** Descriptors that it gets as 3 and so on. */
  readonly fds: readonly number[];
}

/**
 * Starts QEMU so that it dies with the thread that calls this (setpriv from util-linux sets PR_SET_PDEATHSIG, which
 * outlasts exec), in a session of its own: a Ctrl-C is for us to act on.
 */
export function spawnQemu({ path, parameters, confinement, fds }: QemuProgram): QemuProcess {
  const options = ["--pdeathsig", "KILL", "--no-new-privs", ...confinement];
  return spawn("setpriv", [...options, "--", path, ...SANDBOX, ...parameters], {
    stdio: ["ignore", "pipe", "pipe", ...fds],
    env: { PATH: process.env.PATH },
    cwd: "/",
    detached: true,
  }) as QemuProcess;
}

/** @returns the program's path. @throws AgentError SPAWN_FAILED naming the Debian package to install */
export async function findQemu(configured?: string): Promise<string> {
  const { name, debianPackage } = QEMU;
  await findProgram(SETPRIV.name, SETPRIV.debianPackage);
  return await findProgram(configured ?? name, debianPackage);
}

/** QEMU for the guest's processor, and what starts it. */
export const QEMU = { name: "qemu-system-x86_64", debianPackage: "qemu-system-x86" };
export const SETPRIV = { name: "setpriv", debianPackage: "util-linux" };

/** @param path where to look: a PATH. @throws AgentError SPAWN_FAILED naming the Debian package to install */
export async function findProgram(
  name: string,
  debianPackage: string,
  path = process.env.PATH ?? "",
): Promise<string> {
  const directories = name.includes("/") ? [""] : path.split(delimiter);
  for (const directory of directories) {
    // QEMU starts in another directory.
    const program = resolve(directory === "" ? name : join(directory, name));
    const usable = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return program;
  }
  const where = name.includes("/") ? `there is no program ${name}` : `${name} is not on the PATH`;
  throw new AgentError("SPAWN_FAILED", `${where}; install the Debian package ${debianPackage}`);
}
