import type { AgentError } from "../../common/errors.ts";
import type { GuestConnection } from "../guest/guest-connection.ts";

/** A guest that runs, however it was started: a virtual machine, or an agent on this machine without one. */
export interface UtilityVm {
  readonly guest: GuestConnection;
  /** Settles with the reason when the guest ends before close(): what its last words were. */
  readonly died: Promise<AgentError>;
  /** Whether the guest's kernel has cgroup v2 alone, so that containers can have a cgroup namespace. */
  readonly hasUnifiedCgroups: boolean;
  /** The highest RLIMIT_NOFILE that a container can be given; absent, there is no bound but the kernel's. */
  readonly maximumOpenFiles?: number;

  /**
   * Makes a root file system ready for a container. What the container or its runtime writes goes to a layer above
   * the directory and is gone with the root.
   * @param directory on this machine; absent, the small busybox root that comes with the guest.
   * @throws AgentError INVALID_ARGUMENT when there is no such directory; NOT_SUPPORTED when it shall be written to
   *   and the guest cannot; MOUNT_FAILED when no layer can be put above it
   */
  prepareRoot(directory?: string, options?: RootOptions): Promise<ContainerRoot>;

  /** The end of what the guest has printed and its agent has logged; also once it has ended. */
  lastOutput?(): LastOutput;

  /** Directory in the guest for the agent's files about a container. */
  bundlePath(containerId: string): string;

  /** Whether the guest keeps this program running; default true. One that does not ends with it, unasked. */
  setKeepsLoopAlive?(on: boolean): void;

  /**
   * Ends the guest with everything in it, and removes what starting it made. Safe more than once: what could not be
   * removed is tried again.
   * @param options.force at once, without asking the guest, which may be stopped
   */
  close(options?: { readonly force?: boolean }): Promise<void>;
}

export interface LastOutput {
  /** Absent without a virtual machine. */
  readonly console?: string;
  readonly log: string;
}

export interface RootOptions {
  /** The container writes to the directory itself. Default false. */
  readonly readWrite?: boolean;
}

export interface ContainerRoot {
  /** Absolute, as the guest sees it. */
  readonly path: string;
  readonly readonly: boolean;
  /** Directories that become tmpfs mounts of the container's own, since the rest is read-only. */
  readonly temporaryDirectories: readonly string[];
  /** Takes it away again, once no container uses it; the end of the guest does so, too. Absent: nothing to take. */
  release?(): Promise<void>;
}
