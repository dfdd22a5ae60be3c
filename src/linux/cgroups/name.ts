/** CGROUP_FILE_NAME_MAX of the kernel (kernel/cgroup/cgroup-internal.h): 32 + 64 + 2. */
const LONGEST_FILE_NAME = 98;
/** The kernel's files in a directory of cgroups whose names have no dot, the others being CONTROLLER.FILE. */
const PLAIN_FILES = ["tasks", "notify_on_release", "release_agent"];

/**
 * The directory of a container's cgroup beside those of others. The kernel has files of its own there ("tasks",
 * "cpuset.cpus", "memory.max", more with each controller), so an id that could be one's name gets a mark, which no
 * id may hold.
 */
export function cgroupDirectoryName(containerId: string): string {
  const mayBeFile =
    PLAIN_FILES.includes(containerId) ||
    (containerId.includes(".") && containerId.length <= LONGEST_FILE_NAME);
  return mayBeFile ? `${containerId}~` : containerId;
}
