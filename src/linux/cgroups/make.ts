import { mkdirSync } from "node:fs";
import { AgentError, describeError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import { readKernelFile, writeKernelFile } from "./files.ts";
import type { CgroupLayout, CgroupMount } from "./layout.ts";
import { type ControlWrite, limitWrites } from "./limits.ts";

/**
 * Makes a cgroup, with those above it, in every hierarchy that has controllers, and sets its limits. What is there
 * already is taken as it is.
 * @param path absolute, as `linux.cgroupsPath`. @param resources of an OCI spec
 * @throws AgentError CGROUP_UNAVAILABLE naming the file that could not be written
 */
export function makeCgroup(
  layout: CgroupLayout,
  path: string,
  resources: Readonly<Record<string, unknown>>,
): void {
  const mounts = layout.mounts.filter((mount) =>
    layout.version === 2 ? mount.unified : mount.controllers.length > 0,
  );
  try {
    for (const mount of mounts) makeDirectories(mount, path);
    for (const write of limitWrites(resources, layout.version)) apply(mounts, path, write);
  } catch (cause) {
    throw new AgentError("CGROUP_UNAVAILABLE", `cannot make cgroup ${path}: ${describeError(cause)}`, {
      cause,
    });
  }
}

function makeDirectories(mount: CgroupMount, path: string): void {
  let directory = mount.mountPoint;
  for (const name of path.split("/").filter(Boolean)) {
    if (mount.unified) delegate(directory);
    const parent = directory;
    directory = `${directory}/${name}`;
    try {
      mkdirSync(directory);
    } catch (error) {
      if (!isSystemError(error, "EEXIST")) throw error;
    }
    if (mount.controllers.includes("cpuset")) inheritCpuset(parent, directory);
  }
}

/** Lets the children of a v2 cgroup be limited in all that it can be limited in itself. */
function delegate(directory: string): void {
  const available = (readKernelFile(`${directory}/cgroup.controllers`) ?? "").trim();
  for (const controller of available.split(" ").filter(Boolean)) {
    try {
      writeKernelFile(`${directory}/cgroup.subtree_control`, `+${controller}`);
    } catch (error) {
      // One that is in use otherwise (real-time processes, a v1 hierarchy) stays so; what needs it fails by name.
      if (!isSystemError(error, "EBUSY", "EINVAL", "ENOENT", "EOPNOTSUPP", "ENOTSUP")) throw error;
    }
  }
}

/** A v1 cpuset begins empty, and then takes no process. */
function inheritCpuset(parent: string, directory: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if ((readKernelFile(`${directory}/${file}`) ?? "").trim() !== "") continue;
    writeKernelFile(`${directory}/${file}`, (readKernelFile(`${parent}/${file}`) ?? "").trim());
  }
}

function apply(
  mounts: readonly CgroupMount[],
  path: string,
  { controller, file, value }: ControlWrite,
): void {
  const mount = mounts.find(({ unified, controllers }) => unified || controllers.includes(controller));
  if (mount === undefined) throw new Error(`the kernel has no ${controller} controller, which ${file} needs`);
  try {
    writeKernelFile(`${mount.mountPoint}${path}/${file}`, value);
  } catch (cause) {
    // Kernels without accounting of swap have no such file, and no swap to limit.
    if (/memsw|swap/.test(file) && isSystemError(cause, "ENOENT", "EACCES")) return;
    throw new Error(`${file} does not take ${value}`, { cause });
  }
}
