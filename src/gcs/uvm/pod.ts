/**
 * A pod: what its containers share below one root, and the cgroup above theirs. Made with its sandbox, removed with it.
 *
 *   ROOT/hostname, hosts, resolv.conf   bound into each workload
 *   ROOT/sandboxMounts                  directories that they share; what a host mounts there later shows in all
 *   ROOT/sandboxTmpfsMounts             the same in memory
 *   ROOT/hugepages                      file systems of huge pages
 *   ROOT/logs                           copies of their output
 * Source: hcsshim internal/guest/runtime/hcsv2 (uvm.go, sandbox_container.go).
 */
import { lstatSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { CleanupStack } from "../../common/cleanup.ts";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import { Cgroup } from "../../linux/cgroups/cgroup.ts";
import { detectCgroupLayout } from "../../linux/cgroups/layout.ts";
import { makeCgroup } from "../../linux/cgroups/make.ts";
import { makeRemovableDirectories, openDirectory } from "../../linux/directories.ts";
import { removeFile } from "../../linux/remove.ts";
import { emptyDirectory } from "../../linux/remove-tree.ts";
import { detachBelow } from "../../storage/detach-below.ts";
import { mountHugePages } from "../../storage/huge-pages.ts";
import { mount } from "../../storage/mount.ts";
import type { EtcFile } from "./spec/etc-mounts.ts";
import { type NeededPath, SHARED_DIRECTORIES } from "./spec/pod-mounts.ts";

const LOGS = "logs";

export interface PodSettings {
  readonly id: string;
  /** Absolute. */
  readonly root: string;
  readonly files: readonly EtcFile[];
  /** Of the whole pod: "/pods/ID". */
  readonly cgroupPath: string;
  /** Of the sandbox's spec: they hold for the pod together. */
  readonly resources: Readonly<Record<string, unknown>>;
  readonly hostNetwork: boolean;
}

interface RemovalStep {
  readonly what: string;
  readonly undo: () => void | Promise<void>;
}

export class Pod {
  readonly id: string;
  readonly root: string;
  readonly hostNetwork: boolean;
  readonly files: readonly EtcFile[];
  /** Ids of its containers, the sandbox's among them. */
  readonly members: Set<string>;
  /** What removes it, latest last; a step that failed stays for the next attempt. */
  #steps: RemovalStep[] = [];
  /** File systems of huge pages, by path, from the moment that they are asked for. */
  readonly #hugePages = new Map<string, Promise<void>>();

  private constructor({ id, root, hostNetwork, files }: PodSettings) {
    this.id = id;
    this.root = root;
    this.hostNetwork = hostNetwork;
    this.files = files;
    this.members = new Set([id]);
  }

  /** @throws AgentError SYSTEM_CALL_FAILED, MOUNT_FAILED, CGROUP_UNAVAILABLE; then nothing is left. */
  static async create(settings: PodSettings): Promise<Pod> {
    const pod = new Pod(settings);
    try {
      await pod.#make(settings);
      return pod;
    } catch (error) {
      try {
        await pod.remove();
      } catch (cause) {
        throw new AgentError("SYSTEM_CALL_FAILED", `pod ${pod.id} could neither be made nor undone`, {
          cause: new AggregateError([error, cause]),
        });
      }
      throw error;
    }
  }

  get logDirectory(): string {
    return `${this.root}/${LOGS}`;
  }

  async #make({ root, files, cgroupPath, resources }: PodSettings): Promise<void> {
    const directories = await makeRemovableDirectories(root, 0o755);
    this.#onRemove(`directory ${root}`, () => directories.remove());
    for (const { name, content } of files) {
      const path = `${root}/${name}`;
      removeFile(path);
      writeFileSync(path, content, { flag: "wx", mode: 0o644 });
      this.#onRemove(path, () => removeFile(path));
    }
    for (const name of SHARED_DIRECTORIES) await this.#makeShared(name);
    const logs = await makeRemovableDirectories(this.logDirectory, 0o777, { exact: true });
    this.#onRemove(this.logDirectory, () => logs.remove());
    this.#onRemove(`what is in ${this.logDirectory}`, () => emptied(this.logDirectory));
    const layout = detectCgroupLayout();
    const cgroup = Cgroup.atPath(layout, cgroupPath);
    this.#onRemove(`cgroup ${cgroupPath}`, () => cgroup.remove());
    makeCgroup(layout, cgroupPath, resources);
  }

  async #makeShared(name: string): Promise<void> {
    const path = `${this.root}/${name}`;
    const made = await makeRemovableDirectories(path, 0o755);
    this.#onRemove(path, () => made.remove());
    this.#onRemove(`what is in ${path}`, () => emptied(path));
    if (name === "sandboxTmpfsMounts") {
      const memory = await mount({ source: "tmpfs", target: path, type: "tmpfs", options: [] });
      this.#onRemove(`the mount on ${path}`, () => memory.unmount());
    }
    const shared = await mount({ source: path, target: path, type: "", options: ["rbind", "rshared"] });
    this.#onRemove(`the shared mount on ${path}`, () => shared.unmount());
    this.#onRemove(`mounts below ${path}`, () => detached(path));
  }

  /**
   * Makes what is missing of the paths in the pod's own directories, which are walked without following links: the
   * pod's containers can write there.
   * @returns what takes away again what was made here
   * @throws AgentError INVALID_ARGUMENT for pages of a size that there is none of; SYSTEM_CALL_FAILED for a link in the
   *   way; MOUNT_FAILED
   */
  async provide(needed: readonly NeededPath[]): Promise<CleanupStack> {
    const undo = new CleanupStack();
    try {
      for (const one of needed) await this.#provide(one, undo);
      return undo;
    } catch (error) {
      await undo.run();
      throw error;
    }
  }

  async #provide({ path, below, pageSize }: NeededPath, undo: CleanupStack): Promise<void> {
    if (below === undefined) return;
    if (pageSize !== undefined) return await this.#provideHugePages(path, pageSize);
    if (isFile(path)) return;
    const made = await makeRemovableDirectories(path, 0o777, { exact: true });
    undo.push(`remove ${path}`, () => made.remove());
  }

  /** Once for all containers of the pod, also when two ask at the same time. */
  async #provideHugePages(path: string, pageSize: string): Promise<void> {
    const known = this.#hugePages.get(path);
    if (known !== undefined) return await known;
    const mounting = mountHugePages(path, pageSize).then((mounted) => {
      this.#onRemove(`the huge pages on ${path}`, () => mounted.unmount());
    });
    this.#hugePages.set(path, mounting);
    try {
      await mounting;
    } catch (error) {
      this.#hugePages.delete(path);
      throw error;
    }
  }

  /**
   * Takes away all of it, latest first. Every step can be tried again, by the next call.
   * @throws AgentError SYSTEM_CALL_FAILED, MOUNT_FAILED for the first that failed; the others are done
   */
  async remove(): Promise<void> {
    const failures: unknown[] = [];
    const left: RemovalStep[] = [];
    for (const step of this.#steps.toReversed()) {
      try {
        await step.undo();
      } catch (cause) {
        failures.push(cause);
        left.unshift(step);
      }
    }
    this.#steps = left;
    if (failures.length === 0) return;
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `of pod ${this.id} could not be removed: ${left.map(({ what }) => what).join(", ")}`,
      { cause: failures[0] },
    );
  }

  #onRemove(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }
}

/** Of the last part, which is not followed; those before it may still be missing. */
function isFile(path: string): boolean {
  try {
    using parent = openDirectory(dirname(path));
    return lstatSync(parent.path(basename(path)), { throwIfNoEntry: false })?.isFile() === true;
  } catch (error) {
    if (error instanceof AgentError && isSystemError(error.cause, "ENOENT")) return false;
    throw error;
  }
}

async function emptied(path: string): Promise<void> {
  try {
    using directory = openDirectory(path);
    await emptyDirectory(directory);
  } catch (error) {
    if (!(error instanceof AgentError && isSystemError(error.cause, "ENOENT"))) throw error;
  }
}

async function detached(path: string): Promise<void> {
  const [failure] = await detachBelow(path);
  if (failure !== undefined) throw failure;
}
