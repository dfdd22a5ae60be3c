import { readFileSync } from "node:fs";
import { AgentError } from "../../common/errors.ts";
import { unescaped } from "../mountinfo.ts";

/** One mounted cgroup hierarchy. */
export interface CgroupMount {
  /** v1 controllers attached here; empty for a named v1 hierarchy and for cgroup2. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** Which part of the hierarchy is mounted: "/" but inside containers. */
  readonly root: string;
  readonly unified: boolean;
}

/**
 * How cgroups are mounted. Where v1 controllers are mounted beside a cgroup2 (the hybrid layout, cgroup2 on
 * /sys/fs/cgroup/unified), the controllers decide: limits and statistics are in v1, cgroup2 only groups.
 */
export interface CgroupLayout {
  readonly version: 1 | 2;
  readonly mounts: readonly CgroupMount[];
}

/** Controllers of cgroup v1, Documentation/admin-guide/cgroup-v1; other words in mount options are flags. */
const v1Controllers = new Set(
  "cpuset cpu cpuacct blkio memory devices freezer net_cls perf_event net_prio hugetlb pids rdma misc".split(
    " ",
  ),
);

/**
 * @param root prefix of /proc and of the mount points found; for tests.
 * @throws AgentError CGROUP_UNAVAILABLE when no cgroup controllers are mounted.
 */
export function detectCgroupLayout(root = ""): CgroupLayout {
  const mounts = parseCgroupMounts(readFileSync(`${root}/proc/self/mountinfo`, "utf8")).map((mount) => ({
    ...mount,
    mountPoint: root + mount.mountPoint,
  }));
  if (mounts.some((mount) => mount.controllers.length > 0)) return { version: 1, mounts };
  if (mounts.some((mount) => mount.unified)) return { version: 2, mounts };
  throw new AgentError(
    "CGROUP_UNAVAILABLE",
    "no cgroup file system is mounted: mount cgroup2 on /sys/fs/cgroup",
  );
}

/**
 * @param mountinfo text of /proc/PID/mountinfo, proc_pid_mountinfo(5): id parent dev root mountpoint options
 *   [tags] - type source superoptions.
 */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    if (before === undefined || after === undefined) continue;
    const [type, , superOptions = ""] = after.split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const [, , , root, mountPoint] = before.split(" ");
    if (root === undefined || mountPoint === undefined) continue;
    const unified = type === "cgroup2";
    const controllers = unified ? [] : superOptions.split(",").filter((word) => v1Controllers.has(word));
    // A hierarchy bound to a second place adds nothing.
    const known = mounts.some(
      (mount) =>
        (mount.unified === unified && unified) ||
        (controllers.length > 0 && mount.controllers.includes(controllers[0] ?? "")),
    );
    if (!known)
      mounts.push({ controllers, mountPoint: unescaped(mountPoint), root: unescaped(root), unified });
  }
  return mounts;
}

/**
 * The cgroup paths of a process, by mount.
 * @param text of /proc/PID/cgroup: "id:controllers:path" lines; "0::path" is cgroup2.
 */
export function parseProcessCgroups(text: string, layout: CgroupLayout): Map<CgroupMount, string> {
  const paths = new Map<CgroupMount, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (!match) continue;
    const [, controllers = "", raw = ""] = match;
    const mount = layout.mounts.find((candidate) =>
      controllers === ""
        ? candidate.unified
        : candidate.controllers.length > 0 && controllers.split(",").includes(candidate.controllers[0] ?? ""),
    );
    const path = raw.replace(/ \(deleted\)$/, "");
    // A path that leaves our cgroup namespace cannot be reached through our mounts.
    if (mount && !path.startsWith("/..")) paths.set(mount, path);
  }
  return paths;
}
