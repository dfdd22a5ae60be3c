/**
 * What the agent has mounted on the host's request: each target once, and gone with everything made for it. Targets are
 * strictly below one of a few directories, so that no mount takes the place of what the machine itself runs on.
 */
import { join } from "node:path";
import { settlesWithin, withDeadline } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type { Mounted } from "../../storage/mount.ts";

/**
 * Where hosts mount: version 1's documents name any place, hcsshim (internal/guestpath) and our own host such below
 * /run and /mounts. Of /run not what the machine itself keeps there.
 */
const MOUNT_DIRECTORIES = ["/run", "/mounts", "/mnt"];
/** In a directory that is kept, hosts have these to themselves. */
const HOSTS_DIRECTORIES = ["/run/gcs/c", "/run/gcs/pods"];
const KEPT_DIRECTORIES = [
  ...[
    "/run/gcs",
    "/run/vsock",
    "/run/over",
    "/run/netns",
    "/run/runc",
    "/run/crun",
    "/run/lock",
    "/run/user",
  ],
];

/** How long a mount under way is waited for at the agent's end: one that takes longer hangs in the kernel. */
const ADDING_END_MS = 3_000;
/** How long all that is mounted may take to be unmounted at the agent's end. */
const CLOSE_MS = 10_000;

export class UvmMounts {
  readonly #directories: readonly string[];
  /** By target; undefined while it is being mounted. */
  readonly #mounts = new Map<string, Mounted | undefined>();
  /** Mounts under way: close() waits for them. */
  readonly #adding = new Set<Promise<void>>();
  #isClosing = false;

  /** @param privateDirectory below which everything may be mounted, too */
  constructor(privateDirectory?: string) {
    this.#directories = [...MOUNT_DIRECTORIES, ...(privateDirectory === undefined ? [] : [privateDirectory])];
  }

  /**
   * @throws AgentError INVALID_ARGUMENT for a target elsewhere, INVALID_STATE when something is mounted there already,
   *   and what `mount` throws.
   */
  async add(target: string, mount: () => Promise<Mounted>): Promise<void> {
    this.check(target);
    if (this.#isClosing) throw new AgentError("INVALID_STATE", `${target}: the agent is ending`);
    if (this.#mounts.has(target)) throw new AgentError("INVALID_STATE", `${target} is mounted already`);
    const adding = this.#add(target, mount);
    this.#adding.add(adding);
    try {
      await adding;
    } finally {
      this.#adding.delete(adding);
    }
  }

  async #add(target: string, mount: () => Promise<Mounted>): Promise<void> {
    this.#mounts.set(target, undefined);
    try {
      this.#mounts.set(target, await mount());
    } catch (error) {
      this.#mounts.delete(target);
      throw error;
    }
  }

  /** Unmounts. A target where nothing is mounted is no error: hosts clean up in any order, and more than once. */
  async remove(target: string): Promise<void> {
    const mounted = this.#mounts.get(target);
    if (mounted === undefined) {
      if (this.#mounts.has(target)) throw new AgentError("INVALID_STATE", `${target} is still being mounted`);
      return;
    }
    await mounted.unmount();
    this.#mounts.delete(target);
  }

  /** @throws AgentError INVALID_ARGUMENT for a target where hosts may mount nothing */
  check(target: string): void {
    // Of a path that climbs or is not absolute, what mounts it tells more.
    const plain = join(target).replace(/\/$/, "");
    const isBelow = (directory: string) => plain.startsWith(`${directory}/`);
    const isKept = KEPT_DIRECTORIES.some((directory) => isBelow(directory) || plain === directory);
    if (HOSTS_DIRECTORIES.some(isBelow) || (this.#directories.some(isBelow) && !isKept)) return;
    throw new AgentError(
      "INVALID_ARGUMENT",
      `${JSON.stringify(target)} is no place for a mount; use one below ${[...HOSTS_DIRECTORIES, ...this.#directories].join(", ")}`,
    );
  }

  /** Unmounts all, latest first, in bounded time. @returns what could not be unmounted. */
  async close(): Promise<unknown[]> {
    this.#isClosing = true;
    await settlesWithin(Promise.allSettled(this.#adding), ADDING_END_MS);
    const failures: unknown[] = [];
    const deadline = performance.now() + CLOSE_MS;
    for (const target of [...this.#mounts.keys()].reverse()) {
      const timeoutMs = Math.max(0, deadline - performance.now());
      try {
        await withDeadline(this.remove(target), `unmounting ${target}`, { timeoutMs });
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }
}
