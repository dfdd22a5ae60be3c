import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { CleanupStack } from "../../common/cleanup.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import { makeDirectories } from "../../common/make-directories.ts";
import { Cgroup } from "../../linux/cgroups/cgroup.ts";
import { type CgroupLayout, detectCgroupLayout } from "../../linux/cgroups/layout.ts";
import { removeFlatDirectory } from "../../linux/remove.ts";
import type { Supervisor } from "../../linux/supervisor.ts";
import type { ContainerState, CreateOptions, Runtime } from "../runtime.ts";
import { createArguments, deleteArguments, isContainerId, listArguments, plainArguments } from "./args.ts";
import { type BundleFacts, bundleOf, readBundle } from "./bundle-facts.ts";
import { RuntimeCommand } from "./command.ts";
import { RuncContainer } from "./container.ts";
import { findExecFifo } from "./exec-fifo.ts";
import { signalAll } from "./signal-all.ts";
import { startProcess } from "./start-process.ts";
import { parseState, parseStates } from "./state.ts";
import { type Remains, stateDirectoryOf, stateRootOf } from "./state-directory.ts";

export interface OciRuntimeOptions {
  /** Name in PATH or path of a program with runc's command line: "runc", "crun", "/usr/local/bin/runc". */
  readonly command: string;
  /** Directory of the runtime's state; its own default where absent. */
  readonly stateRoot?: string;
  /** Our own files: one directory a container, for pid files, logs and terminal sockets. Made when missing. */
  readonly filesDirectory: string;
  readonly supervisor: Supervisor;
  /** Milliseconds until a call of the runtime is killed; default 60 000. */
  readonly deadlineMs?: number;
  /** Told what went wrong where there is nobody to throw at: undo steps, clean-up after an exit. */
  readonly log?: { warn(fields: object, message: string): void };
}

const defaultDeadlineMs = 60_000;
/** For each step of undoing what a runtime has begun: each is done in a moment, or not at all. */
const undoDeadlineMs = 10_000;
const SIGKILL = 9;

/** The contract over the command line that runc, crun and others share. */
export class OciRuntime implements Runtime {
  readonly #options: OciRuntimeOptions;
  readonly #command: RuntimeCommand;
  /** Containers made here and not deleted, by id; those being made are undefined. */
  readonly #containers = new Map<string, RuncContainer | undefined>();
  /** What is left of creations that failed, where the runtime could not undo them either; by id. */
  readonly #remnants = new Map<string, Remnant>();
  #layout: CgroupLayout | undefined;
  #noPivot: boolean | undefined;

  constructor(options: OciRuntimeOptions) {
    this.#options = options;
    const { command, stateRoot, supervisor } = options;
    this.#command = new RuntimeCommand({ command, stateRoot, supervisor });
  }

  async createContainer(id: string, bundlePath: string, options: CreateOptions = {}): Promise<RuncContainer> {
    if (!isContainerId(id))
      throw new AgentError(
        "INVALID_CONTAINER_ID",
        `"${id}" is no container id: 1 to 255 letters, digits and _+.-, a letter or digit first`,
      );
    // The runtime itself checks without a lock: of two at once, both could pass.
    if (this.#containers.has(id))
      throw new AgentError("CONTAINER_ALREADY_EXISTS", `container ${id} exists already`);
    this.#containers.set(id, undefined);
    const cleanups = new CleanupStack();
    cleanups.push("forget the id", () => void this.#containers.delete(id));
    try {
      const path = resolve(bundlePath);
      const bundle = options.spec === undefined ? readBundle(path) : bundleOf(path, options.spec);
      const remnant = this.#remnants.get(id);
      if (remnant !== undefined) await this.#undoRemnant(remnant);
      const container = await this.#create(id, bundle, options, cleanups);
      this.#containers.set(id, container);
      void this.#undoRemnants();
      return container;
    } catch (error) {
      for (const { what, cause } of await cleanups.run()) this.#onError(`${what} of container ${id}`, cause);
      throw error;
    }
  }

  async listContainerStates(): Promise<ContainerState[]> {
    const { command, stateRoot } = this.#options;
    const root = stateRootOf(command, stateRoot);
    // As on every machine that has just booted: the runtime need not be asked.
    if (root !== undefined && !existsSync(root)) return [];
    return parseStates(await this.#call(listArguments(), this.#filesDirectory()));
  }

  async #create(
    id: string,
    bundle: BundleFacts,
    options: CreateOptions,
    cleanups: CleanupStack,
  ): Promise<RuncContainer> {
    const directory = mkdtempSync(`${this.#filesDirectory()}/${id.slice(0, 12)}-`);
    cleanups.push(`remove ${directory}`, () => removeFlatDirectory(directory));
    const { command, stateRoot, supervisor } = this.#options;
    const deadlineMs = this.#options.deadlineMs ?? defaultDeadlineMs;
    const noHostSockets = options.hostSockets !== true;
    const noPivot = options.noPivot ?? this.#rootIsInitramfs();
    const half = {
      ...{ id, bundle, directory, cgroup: this.#newCgroup(bundle) },
      ...{ since: Date.now(), until: undefined },
    };
    try {
      const init = await startProcess({
        command: this.#command,
        supervisor,
        directory,
        name: "init",
        terminal: bundle.terminal,
        consoleSize: bundle.consoleSize,
        deadlineMs,
        noHostSockets,
        starts: bundle.starts,
        arguments: (files) => createArguments({ id, bundle: bundle.path, noPivot, ...files }),
      });
      const cgroup = this.#findCgroup(init.process.pid, bundle);
      if (options.cgroupNesting !== undefined) cgroup?.limitNesting(options.cgroupNesting);
      return new RuncContainer({
        id,
        bundle,
        command: this.#command,
        supervisor,
        directory,
        init,
        cgroup,
        cgroupOfSpec: this.#cgroupOfSpec(bundle),
        execFifo: bundle.hasPoststartHooks ? undefined : findExecFifo(command, stateRoot, id),
        remains: this.#remainsOf(id, bundle),
        deadlineMs,
        noHostSockets,
        onDelete: () => this.#containers.delete(id),
        onError: (what, cause) => this.#onError(what, cause),
      });
    } catch (error) {
      const code = error instanceof AgentError ? error.code : undefined;
      // Then it is another's container that has the id, or there can be none.
      if (code !== "CONTAINER_ALREADY_EXISTS" && code !== "INVALID_CONTAINER_ID")
        cleanups.push("undo the creation", () => this.#undoCreate(half));
      throw error;
    }
  }

  /** Removes what a runtime that failed or was killed in the middle has left; what it cannot undo either is kept in mind. */
  async #undoCreate(half: HalfMade): Promise<void> {
    if (await this.#belongsToOthers(half)) return;
    const isGone = await this.#deleteHalfMade(half);
    if (!isGone) this.#remember(half);
    if (half.cgroup) {
      if ((await half.cgroup.processes()).length > 0) await signalAll(half.cgroup, SIGKILL);
      await half.cgroup.remove();
    }
  }

  #remember(half: HalfMade): void {
    // Its own directory goes now.
    const kept = { ...half, until: Date.now(), directory: this.#filesDirectory() };
    this.#remnants.set(half.id, { half: kept, undoing: undefined });
  }

  async #deleteHalfMade({ id, directory }: HalfMade): Promise<boolean> {
    try {
      await this.#call(deleteArguments(id, true), directory, undoDeadlineMs);
    } catch (error) {
      if (hasCode(error, "CONTAINER_DOES_NOT_EXIST")) return true;
      this.#onError(`delete container ${id}`, error);
      return false;
    }
    return true;
  }

  /** The runtime works again, as it has just made a container: then it can undo what it could not before. */
  async #undoRemnants(): Promise<void> {
    // One after the other; who wants an id waits for that alone.
    for (const [id, remnant] of this.#remnants)
      if (!this.#containers.has(id)) await this.#undoRemnant(remnant);
  }

  /** Never rejects: while it cannot, the runtime says so to who wants the id. */
  #undoRemnant(remnant: Remnant): Promise<void> {
    const { half } = remnant;
    const undo = async () => {
      try {
        const isTheirs = await this.#belongsToOthers(half);
        if (isTheirs || (await this.#deleteHalfMade(half))) this.#remnants.delete(half.id);
      } catch (error) {
        this.#onError(`undo the creation of container ${half.id}`, error);
      }
      remnant.undoing = undefined;
    };
    remnant.undoing ??= undo();
    return remnant.undoing;
  }

  /** A failure before the runtime looks at the id says nothing about who has it. */
  async #belongsToOthers({ id, bundle, directory, since, until }: HalfMade): Promise<boolean> {
    try {
      const state = parseState(await this.#call(plainArguments("state", id), directory, undoDeadlineMs));
      const created = Date.parse(state.created);
      return state.bundle !== bundle.path || created < since || (until !== undefined && created > until);
    } catch (error) {
      // Without a readable state nothing of it can run but what is in the cgroup, and what is there is ours; of later
      // nothing is known.
      const isOurs = until === undefined || hasCode(error, "CONTAINER_DOES_NOT_EXIST");
      if (error instanceof AgentError && isOurs) return false;
      throw error;
    }
  }

  #remainsOf(id: string, bundle: BundleFacts): Remains | undefined {
    const { command, stateRoot } = this.#options;
    const directory = stateDirectoryOf(command, stateRoot, id);
    // By the spec's path, which holds in hierarchies without a controller, too.
    const cgroup = this.#cgroupOfSpec(bundle);
    return bundle.endsElaborately || !directory || !cgroup ? undefined : { directory, cgroup };
  }

  /** The cgroup that will be made for the container, if it is known and not there yet. */
  #newCgroup(bundle: BundleFacts): Cgroup | undefined {
    const cgroup = this.#cgroupOfSpec(bundle);
    return cgroup?.exists() ? undefined : cgroup;
  }

  #findCgroup(pid: number, bundle: BundleFacts): Cgroup | undefined {
    const layout = this.#cgroupLayout();
    // Of an init that has died since, only the spec tells.
    return (layout && Cgroup.ofProcess(layout, pid)) ?? this.#cgroupOfSpec(bundle);
  }

  #cgroupOfSpec(bundle: BundleFacts): Cgroup | undefined {
    const layout = this.#cgroupLayout();
    if (!layout || bundle.cgroupsPath === undefined) return undefined;
    try {
      return Cgroup.atPath(layout, bundle.cgroupsPath);
    } catch (error) {
      // It names none that could be the container's own.
      if (hasCode(error, "CGROUP_UNAVAILABLE")) return undefined;
      throw error;
    }
  }

  #cgroupLayout(): CgroupLayout | undefined {
    try {
      this.#layout ??= detectCgroupLayout();
    } catch (error) {
      if (!hasCode(error, "CGROUP_UNAVAILABLE")) throw error;
    }
    return this.#layout;
  }

  /** pivot_root(2) cannot leave the first root file system, an unpacked initramfs. */
  #rootIsInitramfs(): boolean {
    this.#noPivot ??= isInitramfsRoot(readFileSync("/proc/self/mountinfo", "utf8"));
    return this.#noPivot;
  }

  #filesDirectory(): string {
    const { filesDirectory } = this.#options;
    if (!existsSync(filesDirectory)) makeDirectories(filesDirectory, 0o700);
    return filesDirectory;
  }

  #call(args: string[], directory: string, mostMs = Number.POSITIVE_INFINITY): Promise<string> {
    const deadlineMs = Math.min(this.#options.deadlineMs ?? defaultDeadlineMs, mostMs);
    return this.#command.run(args, { directory, deadlineMs });
  }

  #onError(what: string, cause: unknown): void {
    this.#options.log?.warn({ error: describeError(cause) }, `could not ${what}`);
  }
}

interface HalfMade {
  readonly id: string;
  readonly bundle: BundleFacts;
  readonly directory: string;
  readonly cgroup: Cgroup | undefined;
  /** When its creation began, in milliseconds since 1970. */
  readonly since: number;
  /** When it had failed; undefined until then. */
  readonly until: number | undefined;
}

interface Remnant {
  readonly half: HalfMade;
  undoing: Promise<void> | undefined;
}

/** @param mountinfo text of /proc/self/mountinfo; of several mounts on /, the last one shows. */
export function isInitramfsRoot(mountinfo: string): boolean {
  const roots = mountinfo.split("\n").filter((line) => line.split(" ")[4] === "/");
  return /^ ?rootfs /.test(roots.at(-1)?.split(" - ")[1] ?? "");
}

function hasCode(error: unknown, code: AgentError["code"]): boolean {
  return error instanceof AgentError && error.code === code;
}
