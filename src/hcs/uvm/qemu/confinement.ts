/**
 * What QEMU keeps of our rights: as little as runs its guest. A guest that takes QEMU over finds a user that owns
 * nothing, no capability, no way to get one, and of our environment the PATH alone.
 */
import { randomInt } from "node:crypto";
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { QemuConfig } from "./config.ts";

/** A range that no distribution and no /etc/subuid gives out; each machine has a user of its own in it. */
const FIRST_USER = 0x6c63_0000;
const USERS = 0x1_0000;

/** <linux/capability.h> */
const CAP_SETGID = 6;
const CAP_SETUID = 7;
const CAP_SETPCAP = 8;
const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
const OTHERS_RUN = 0o001;

export interface Confinement {
  /** Options of setpriv(1). */
  readonly options: readonly string[];
  /** Whom QEMU runs as; undefined: as we do. */
  readonly user: number | undefined;
}

/** QEMU's own filter of system calls; what it denies no machine of ours needs. */
export const SANDBOX = [
  "-sandbox",
  "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
];

export interface ConfinementChoices {
  /** QEMU's program, absolute. */
  readonly program: string;
  readonly accelerator: "kvm" | "tcg";
  /** The machine uses the kernel's vsock. */
  readonly usesVsock: boolean;
}

export async function confine(
  config: Pick<QemuConfig, "kernel" | "initrd" | "persistentMemory" | "nics">,
  choices: ConfinementChoices,
): Promise<Confinement> {
  if (!(await mayChangeUser())) return { options: [], user: undefined };
  const taps = (config.nics ?? []).some(({ backend }) => backend.type === "tap");
  const bounding = ["--bounding-set", taps ? "-all,+net_admin" : "-all", "--inh-caps=-all"];
  // An interface is attached to, and the device of real vsock opened, with our own rights.
  const needsUs = taps || choices.usesVsock || !(await isReachable(choices.program));
  if (needsUs || !(await areReadable(config))) return { options: bounding, user: undefined };
  const group = choices.accelerator === "kvm" ? await kvmGroup() : undefined;
  const user = FIRST_USER + randomInt(USERS);
  const groups = group === undefined ? ["--clear-groups"] : ["--groups", String(group)];
  return { options: [`--reuid=${user}`, `--regid=${user}`, ...groups, ...bounding], user };
}

/** Root in a container may lack what root needs for that. */
async function mayChangeUser(): Promise<boolean> {
  const status = await readFile("/proc/self/status", "utf8");
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return [CAP_SETGID, CAP_SETUID, CAP_SETPCAP].every((bit) => (effective >> BigInt(bit)) & 1n);
}

/** Disks are opened by us; these QEMU opens itself, through a descriptor of ours, by which only their own mode counts. */
async function areReadable({
  kernel,
  initrd,
  persistentMemory = [],
}: Pick<QemuConfig, "kernel" | "initrd" | "persistentMemory">): Promise<boolean> {
  const wanted = [
    ...[kernel, ...(initrd === undefined ? [] : [initrd])].map((path) => ({ path, mode: OTHERS_READ })),
    ...persistentMemory.map(({ path, readonly }) => ({
      path,
      mode: readonly === true ? OTHERS_READ : OTHERS_READ | OTHERS_WRITE,
    })),
  ];
  const modes = await Promise.all(
    wanted.map(async ({ path, mode }) => ((await stat(path)).mode & mode) === mode),
  );
  return !modes.includes(false);
}

/** A program in somebody's home may be run by nobody else. */
async function isReachable(program: string): Promise<boolean> {
  const path = await realpath(program);
  if (((await stat(path)).mode & OTHERS_RUN) === 0) return false;
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    if (((await stat(directory)).mode & OTHERS_RUN) === 0) return false;
    if (directory === "/") return true;
  }
}

async function kvmGroup(): Promise<number | undefined> {
  const { mode, gid } = await stat("/dev/kvm");
  return (mode & OTHERS_WRITE) === 0 ? gid : undefined;
}
