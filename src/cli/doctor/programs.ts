/** Checks of the programs that verbs run, and of the image. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describeError } from "../../common/errors.ts";
import { runHelper } from "../../common/helper.ts";
import { isPackaged } from "../../common/installation.ts";
import { busyboxPath } from "../../hcs/uvm/busybox-root.ts";
import { MKE2FS, MKFS_EROFS } from "../../hcs/uvm/layers/make-filesystem.ts";
import { type BootFiles, IMAGE_REMEDY } from "../../hcs/uvm/qemu/built-image.ts";
import { checkConfig } from "../../hcs/uvm/qemu/preflight.ts";
import { findProgram, QEMU, SETPRIV } from "../../hcs/uvm/qemu/spawn-qemu.ts";
import { detectCgroupLayout } from "../../linux/cgroups/layout.ts";
import { type Check, type Finding, missing, note, ok } from "./check.ts";
import { layoutName, unreadable } from "./machine.ts";
import type { Surroundings } from "./surroundings.ts";

const VERSION_DEADLINE_MS = 10_000;
/** Debian keeps administrators' programs out of users' PATH. */
const SYSTEM_DIRECTORIES = ":/usr/sbin:/sbin";

interface Program {
  readonly name: string;
  readonly debianPackage: string;
}

const install = (...packages: readonly string[]) => `apt-get install ${packages.join(" ")}`;

export async function locate({ name, debianPackage }: Program, path: string): Promise<string | undefined> {
  return await findProgram(name, debianPackage, path).catch(() => undefined);
}

/** The first line of what it says of itself. @throws AgentError when it cannot be run */
export async function versionOf(program: string, option = "--version"): Promise<string> {
  const { stdout, stderr } = await runHelper(program, [option], { deadlineMs: VERSION_DEADLINE_MS });
  const [first = ""] = (stdout.trim() === "" ? stderr : stdout).trim().split("\n");
  return first.trim();
}

/** There, and it runs: what cannot even tell its version does nothing else. */
async function judge(
  program: Program,
  path: string,
  bad: (says: string, remedy?: string) => Finding,
  option?: string,
): Promise<Finding> {
  const found = await locate(program, path);
  if (found === undefined) return bad(`${program.name} is not on the PATH`, install(program.debianPackage));
  try {
    return ok(`${await versionOf(found, option)}, ${found}`);
  } catch (error) {
    return bad(`${found} does not run: ${describeError(error)}`, `install ${program.debianPackage} anew`);
  }
}

export const qemu: Check = {
  name: "QEMU",
  neededFor: "virtual machines: run, boot",
  run: ({ path }) => judge(QEMU, path, missing),
};

export const setpriv: Check = {
  name: "setpriv",
  neededFor: "starting QEMU with less rights",
  run: ({ path }) => judge(SETPRIV, path, missing),
};

interface Manifest {
  readonly kernelRelease?: unknown;
  readonly runtimes?: { readonly packages?: Readonly<Record<string, unknown>> };
}

export const image: Check = {
  name: "image",
  neededFor: "virtual machines: what they boot",
  async run({ image }) {
    let files: BootFiles;
    try {
      files = image();
    } catch (error) {
      return missing(describeError(error), IMAGE_REMEDY);
    }
    for (const file of [files.kernel, files.initrd]) {
      const problem = await unreadable(file);
      if (problem === "ENOENT")
        return missing(
          `there is no ${file}`,
          `${IMAGE_REMEDY}${isPackaged ? "" : "; the first lcow run does, too"}`,
        );
      if (problem !== undefined)
        return missing(`${file} cannot be read (${problem})`, "let this user read it: chmod a+r");
    }
    try {
      await checkConfig(files, { cpus: 1, memoryMiB: Number.POSITIVE_INFINITY });
    } catch (error) {
      return missing(describeError(error), "lcow image --force builds it anew");
    }
    return ok(`${files.initrd}${await contents(dirname(files.initrd))}`);
  },
};

async function contents(directory: string): Promise<string> {
  const text = await readFile(join(directory, "image.json"), "utf8").catch(() => undefined);
  if (text === undefined) return "; nothing tells what it is made of";
  let manifest: Manifest;
  try {
    manifest = JSON.parse(text) as Manifest;
  } catch {
    return "; its image.json is no JSON";
  }
  const { kernelRelease, runtimes } = manifest;
  const packages = runtimes?.packages ?? {};
  const parts = ["runc", "crun"].flatMap((name) => {
    const version = packages[name];
    return typeof version === "string" ? [`${name} ${version}`] : [];
  });
  return `: Linux ${[String(kernelRelease), ...parts].join(", ")}`;
}

export const mke2fs: Check = {
  name: "mke2fs",
  neededFor: "run --root DIR in a machine, and building the image",
  // It says its version and, given nothing to do, fails; -V alone succeeds.
  run: ({ path }) => judge(MKE2FS, path + SYSTEM_DIRECTORIES, note, "-V"),
};

export const runc: Check = {
  name: "runc",
  neededFor: "run --local",
  run: ({ path }) => judge({ name: "runc", debianPackage: "runc" }, path, note),
};

export const crun: Check = {
  name: "crun",
  neededFor: "run --local --oci-runtime crun",
  async run({ path, root }) {
    const found = await judge({ name: "crun", debianPackage: "crun" }, path, note);
    if (found.state !== "ok") return found;
    const layout = layoutName(detectCgroupLayout(root));
    if (layout !== "hybrid") return found;
    return note(`${found.says}; it refuses this machine's hybrid cgroup layout`, "use runc, the default");
  },
};

export const busybox: Check = {
  name: "busybox",
  neededFor: "run --local without --root",
  async run() {
    try {
      return ok(`${await busyboxPath()}, static`);
    } catch {
      return note("there is no static busybox", install("busybox-static"));
    }
  },
};

/** What else verbs and calls run, here; and what builds the image. */
const OTHERS: readonly (Program & { readonly use: string })[] = [
  { name: "umount", debianPackage: "mount", use: "cleaning up after run --local" },
  { ...MKFS_EROFS, use: "layers as erofs" },
  { name: "qemu-img", debianPackage: "qemu-utils", use: "NTFS disks" },
  { name: "mkntfs", debianPackage: "ntfs-3g", use: "NTFS disks" },
  ...["zstd", "cpio", "gcc"].map((name) => ({ name, debianPackage: name, use: "building the image" })),
  { name: "xz", debianPackage: "xz-utils", use: "building the image" },
];

export const others: Check = {
  name: "helpers",
  neededFor: "some calls, and building the image",
  async run({ path }) {
    const absent: (typeof OTHERS)[number][] = [];
    for (const program of OTHERS)
      if ((await locate(program, path + SYSTEM_DIRECTORIES)) === undefined) absent.push(program);
    if (absent.length === 0) return ok(OTHERS.map(({ name }) => name).join(", "));
    const uses = absent.map(({ name, use }) => `${name} (${use})`).join(", ");
    const packages = new Set(absent.map(({ debianPackage }) => debianPackage));
    return note(`not there: ${uses}`, install(...packages));
  },
};

/** For `lcow diagnose`. */
export async function programVersions({ path }: Surroundings): Promise<Record<string, string>> {
  const wanted = ["QEMU", "runc", "crun"].map((name) =>
    name === "QEMU" ? QEMU : { name, debianPackage: name },
  );
  const versions = wanted.map(async (program): Promise<[string, string]> => {
    const found = await locate(program, path);
    if (found === undefined) return [program.name, "not there"];
    return [program.name, await versionOf(found).catch(describeError)];
  });
  return Object.fromEntries(await Promise.all(versions));
}
