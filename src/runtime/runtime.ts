import type { CgroupNesting } from "../linux/cgroups/cgroup.ts";
import type { CgroupStatistics } from "../linux/cgroups/statistics.ts";
import type { ConnectionSet } from "../stdio/connection-set.ts";
import type { PipeRelay } from "../stdio/pipe-relay.ts";
import type { TtyRelay } from "../stdio/tty-relay.ts";

/**
 * The contract between the utility VM's state and an OCI runtime. One implementation drives runc's command
 * line (src/runtime/runc), which crun and others share. All errors are AgentErrors; those named here carry
 * the HRESULTs of docs/protocol.md.
 */
export interface Runtime {
  /**
   * Creates a container from a bundle: its init is made and blocked before the user's program runs.
   * After a failure nothing of the container is left (runtime state, cgroup, process, directory).
   *
   * @param id 1 to 255 of `[A-Za-z0-9_+.-]`, starting with a letter or digit.
   * @param bundlePath absolute directory that holds config.json, which the runtime reads itself.
   * @throws CONTAINER_ALREADY_EXISTS, INVALID_CONTAINER_ID, RUNTIME_FAILED, HELPER_TIMEOUT
   */
  createContainer(id: string, bundlePath: string, options?: CreateOptions): Promise<Container>;

  /** All containers this runtime knows, running or not. @throws RUNTIME_FAILED, HELPER_TIMEOUT */
  listContainerStates(): Promise<ContainerState[]>;
}

export interface CreateOptions {
  /** What config.json says, from whoever wrote it; absent, the file is read for the fields that matter here. */
  readonly spec?: BundleSpec;
  /** `--no-pivot`: needed where the root file system is an initramfs. Default: decided by the runtime. */
  readonly noPivot?: boolean;
  /**
   * Leaves the container sockets of the family AF_VSOCK and io_uring, in all its processes; then nothing keeps it from
   * the host's ports. Default false.
   */
  readonly hostSockets?: boolean;
  /** Bounds what the container may make below its cgroup, where that is cgroup v2. */
  readonly cgroupNesting?: CgroupNesting;
}

export interface Container {
  readonly id: string;
  /** Process id of init in the agent's pid namespace. */
  readonly pid: number;

  /** Whether the runtime still holds state for it; a stopped container that was not deleted exists. */
  exists(): Promise<boolean>;
  /**
   * Lets init run the user's program, its stdio relayed to `stdio` from before its first byte. Takes ownership of the
   * connections, also when it fails. Once only: after a failure the container can but be deleted.
   * @param stdio default: stdin is at its end, output is discarded.
   * @throws CONTAINER_DOES_NOT_EXIST, INVALID_STATE, RUNTIME_FAILED, HELPER_TIMEOUT
   */
  start(stdio?: ConnectionSet): Promise<void>;
  /**
   * Runs another process in the running container, its stdio relayed to `stdio` from the start. Takes
   * ownership of the connections, also when it fails.
   * @param process an OCI process object, as in config.json.
   * @throws CONTAINER_DOES_NOT_EXIST, CONTAINER_NOT_RUNNING, RUNTIME_FAILED, HELPER_TIMEOUT
   */
  execProcess(process: OciProcess, stdio: ConnectionSet): Promise<Process>;
  /**
   * Signals init, or every process of the container.
   * @param signal Linux signal number, 1 to 64.
   * @throws CONTAINER_DOES_NOT_EXIST, CONTAINER_NOT_RUNNING, RUNTIME_FAILED
   */
  kill(signal: number, options?: { all?: boolean }): Promise<void>;
  /** Freezes all processes. @throws CONTAINER_NOT_RUNNING, RUNTIME_FAILED */
  pause(): Promise<void>;
  /** Thaws them. @throws CONTAINER_NOT_RUNNING, RUNTIME_FAILED */
  resume(): Promise<void>;
  /** @throws CONTAINER_DOES_NOT_EXIST, RUNTIME_FAILED */
  getState(): Promise<ContainerState>;
  /** Processes in the container's cgroup that are not zombies. */
  getRunningProcesses(): Promise<ContainerProcessState[]>;
  /** The same and the zombies among those that this runtime made. */
  getAllProcesses(): Promise<ContainerProcessState[]>;
  /** Pids of the same, in no order; reads nothing of the processes themselves. */
  getProcessIds(): Promise<number[]>;
  /** What its cgroup has used, read now. @throws CGROUP_UNAVAILABLE */
  getStatistics(): CgroupStatistics;
  getInitProcess(): Process;
  /** Changes limits; `resources` is OCI linux.resources. @throws CONTAINER_DOES_NOT_EXIST, RUNTIME_FAILED */
  update(resources: object): Promise<void>;
  /**
   * Removes the runtime's state of a stopped container. Output that a host has not taken yet still reaches it, unless
   * `force` is set: then what runs is killed, and output on its way is lost.
   * @throws CONTAINER_NOT_STOPPED, CONTAINER_DOES_NOT_EXIST, RUNTIME_FAILED
   */
  delete(options?: { force?: boolean }): Promise<void>;
}

export interface ContainerState {
  readonly id: string;
  /** 0 when stopped. */
  readonly pid: number;
  readonly status: "creating" | "created" | "running" | "paused" | "stopped";
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
}

export interface ContainerProcessState {
  readonly pid: number;
  /** At most 4 KiB of its command line, as the process itself tells it; empty for a zombie. */
  readonly command: readonly string[];
  /** Made by createContainer or execProcess, rather than by a process of the container. */
  readonly createdByRuntime: boolean;
  readonly isZombie: boolean;
}

export interface Process {
  readonly pid: number;
  /**
   * The exit code: 0 to 255, 128+N when killed by signal N. Settles when the process has exited and its
   * output is drained (bounded: docs/architecture.md); never rejects. Any number of callers may wait.
   */
  wait(): Promise<number>;
  /** The exit code as soon as the process has exited, output drained or not; never rejects. */
  readonly exited: Promise<number>;
  /**
   * Sends a signal to this very process, by pidfd: never to one that took over its pid.
   * @returns false when it has already exited.
   */
  signal(signal: number): boolean;
  /**
   * After wait(): settles when its host has all of the output, or has closed, which delete() would cut short; never
   * rejects.
   */
  delivered(): Promise<void>;
  /** Frees relays, fds and files; output on its way is lost. Safe at any time and more than once. */
  delete(): Promise<void>;
  /** Set when the process has a terminal. */
  readonly tty: TtyRelay | undefined;
  /** Set when it has pipes. */
  readonly pipeRelay: PipeRelay | undefined;
}

/** The fields of an OCI specification that are read here; config.json has them all. */
export interface BundleSpec {
  readonly process?: OciProcess | undefined;
  readonly root?: { readonly path?: unknown } | undefined;
  readonly hooks?: { readonly poststart?: unknown; readonly poststop?: unknown } | undefined;
  readonly linux?:
    | {
        readonly intelRdt?: unknown;
        readonly namespaces?: readonly { readonly type?: unknown; readonly path?: unknown }[] | undefined;
        readonly cgroupsPath?: unknown;
      }
    | undefined;
}

/** The fields of an OCI process that we read; all others pass through to the runtime untouched. */
export interface OciProcess {
  terminal?: boolean | undefined;
  consoleSize?: { height: number; width: number } | undefined;
  user?: OciUser | undefined;
  args?: string[] | undefined;
  env?: string[] | undefined;
  cwd?: string | undefined;
  [field: string]: unknown;
}

export interface OciUser {
  uid?: number | undefined;
  gid?: number | undefined;
  umask?: number | undefined;
  additionalGids?: number[] | undefined;
  username?: string | undefined;
  /** Names or numbers of further groups: ours, resolved before the runtime sees it. */
  additionalGroups?: string[] | undefined;
  [field: string]: unknown;
}
