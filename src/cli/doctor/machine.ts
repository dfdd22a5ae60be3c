/** Checks of Node, the user, and what the kernel has. */
import { access, constants, readFile, stat } from "node:fs/promises";
import { AgentError } from "../../common/errors.ts";
import { nodeFlags } from "../../common/node-flags.ts";
import { isSystemError } from "../../common/system-error.ts";
import { bootsUnderKvm, rememberedKvm } from "../../hcs/uvm/qemu/accelerator.ts";
import { LEAST_MEMORY_MIB, machineCapacity } from "../../hcs/uvm/qemu/capacity.ts";
import { DEFAULT_MEMORY_MIB } from "../../hcs/uvm/qemu/config.ts";
import { findProgram, QEMU } from "../../hcs/uvm/qemu/spawn-qemu.ts";
import { type CgroupLayout, detectCgroupLayout } from "../../linux/cgroups/layout.ts";
import { type Check, type Finding, missing, note, ok } from "./check.ts";
import type { Surroundings } from "./surroundings.ts";

const EMULATED = "machines are emulated, which works on any processor and is many times slower";

export const node: Check = {
  name: "Node",
  neededFor: "everything",
  async run(around) {
    const [flag = ""] = nodeFlags;
    const is = `${process.version} (${process.arch}), ${process.execPath}`;
    if (around.nodeFlags.includes(flag)) return ok(`${is}, with ${flag}`);
    return note(
      `${is}, without ${flag}: SIGUSR1 opens a debugger for all users of this machine`,
      "start lcow as bin/lcow",
    );
  },
};

export const user: Check = {
  name: "user",
  neededFor: "run --local, and the full confinement of QEMU",
  async run({ user }) {
    if (user === 0) return ok("root");
    return note(
      `user ${user}, not root: no run --local; QEMU runs as this user, in no cgroup of its own, and not as one that owns nothing`,
      "run it as root where that is wanted",
    );
  },
};

export const memory: Check = {
  name: "memory",
  neededFor: `a machine, ${DEFAULT_MEMORY_MIB} MiB unless --vm-memory says otherwise`,
  async run({ root }) {
    const { cpus, memoryMiB } = machineCapacity();
    const size = `${memoryMiB} MiB, ${cpus} processor${cpus === 1 ? "" : "s"}`;
    if (memoryMiB < LEAST_MEMORY_MIB) return missing(`${size}: too little for any machine`);
    if (memoryMiB < DEFAULT_MEMORY_MIB)
      return missing(size, `give machines less, as with --vm-memory ${LEAST_MEMORY_MIB}m, or this one more`);
    const [, available] =
      /^MemAvailable:\s+(\d+) kB/m.exec(await readFile(`${root}/proc/meminfo`, "utf8")) ?? [];
    const freeMiB = Math.floor(Number(available ?? 0) / 1024);
    if (freeMiB < DEFAULT_MEMORY_MIB) return note(`${size}, of which only ${freeMiB} MiB are available now`);
    return ok(`${size}, ${freeMiB} MiB of it available`);
  },
};

export const kvm: Check = {
  name: "KVM",
  neededFor: "machines at the processor's own speed",
  async run(around) {
    const { kvm: device } = around;
    const problem = await unusable(device);
    if (problem === undefined) return await tryKvm(around);
    const says = `${inWords(device, problem)}: ${EMULATED}`;
    if (problem === "no device") return note(says);
    return note(
      says,
      problem === "ENOENT"
        ? "load the module kvm_intel or kvm_amd; in a virtual machine, have its host allow nested virtualisation"
        : "join the group kvm: adduser USER kvm, then log in anew",
    );
  },
};

/** @param problem as unusable() tells it */
function inWords(device: string, problem: string): string {
  if (problem === "ENOENT") return `there is no ${device}`;
  if (problem === "no device") return `${device} is no device`;
  return `this user may not use ${device} (${problem})`;
}

/** Boots the image's kernel: a device that is there may hang all the same. */
async function tryKvm({ path, image, cache, kvm: device }: Surroundings): Promise<Finding> {
  const qemu = await findProgram(QEMU.name, QEMU.debianPackage, path).catch(() => undefined);
  if (qemu === undefined) return note(`${device} is there; without QEMU it could not be tried`);
  const { kernel } = image();
  if ((await unreadable(kernel)) !== undefined)
    return note(`${device} is there; without an image to boot it could not be tried`);
  const boots = await bootsUnderKvm(qemu, kernel);
  const remembered = await rememberedKvm(cache);
  if (remembered !== undefined && remembered !== boots) {
    const now = boots ? "boots a guest" : "boots no guest";
    const before = remembered ? "works" : "does not";
    return note(`${device} ${now}, and lcow remembers that it ${before}`, "lcow prune --all forgets that");
  }
  if (boots) return ok(`${device} boots a guest`);
  return note(
    `${device} is there, and boots no guest: ${EMULATED}`,
    "in a virtual machine, nested virtualisation may be broken: see its host; else look into dmesg",
  );
}

export const vsock: Check = {
  name: "vsock",
  neededFor: "the machine's connection by the kernel's own vsock",
  async run({ vhostVsock: device }) {
    const problem = await unusable(device);
    if (problem === undefined) return ok(device);
    return ok(`${inWords(device, problem)}: the forwarder does it, over a serial port of the machine`);
  },
};

export const cgroups: Check = {
  name: "cgroups",
  neededFor: "run --local, and limits of QEMU's own",
  async run({ root }) {
    let layout: CgroupLayout;
    try {
      layout = detectCgroupLayout(root);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return note("no cgroup file system is mounted", "mount -t cgroup2 -o nsdelegate none /sys/fs/cgroup");
    }
    const kind = layoutName(layout);
    if (kind !== "version 2")
      return ok(`${kind}; runc takes it${kind === "hybrid" ? ", crun does not" : ""}`);
    const mounts = await readFile(`${root}/proc/self/mountinfo`, "utf8");
    if (/ - cgroup2 \S+ \S*\bnsdelegate\b/.test(mounts)) return ok(`${kind}, with nsdelegate`);
    return note(
      `${kind}, without nsdelegate: a container with its own cgroup2 mount could lift its limits`,
      "mount -o remount,nsdelegate /sys/fs/cgroup",
    );
  },
};

export function layoutName({ version, mounts }: CgroupLayout): "version 1" | "version 2" | "hybrid" {
  if (version === 2) return "version 2";
  return mounts.some(({ unified }) => unified) ? "hybrid" : "version 1";
}

/** @returns why a device cannot be used, an errno or "no device"; undefined when it can */
async function unusable(device: string): Promise<string | undefined> {
  try {
    if (!(await stat(device)).isCharacterDevice()) return "no device";
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

export async function unreadable(file: string): Promise<string | undefined> {
  try {
    await access(file, constants.R_OK);
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

function codeOf(error: unknown): string {
  for (const code of ["ENOENT", "ENOTDIR"]) if (isSystemError(error, code)) return "ENOENT";
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
