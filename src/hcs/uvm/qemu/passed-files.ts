import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { socketPair } from "../../../../native/hvsock/index.ts";
import { AgentError } from "../../../common/errors.ts";
import type { Disk, QemuConfig } from "./config.ts";

/** Descriptors 0 to 2 are the standard streams. */
const FIRST_FD = 3;

/**
 * Files that QEMU gets as descriptors: it runs as a user who could not open them, and cannot open others in their
 * stead. QEMU knows a set of descriptors as /dev/fdset/N (docs/system/qemu-manpage, -add-fd); what it opens with plain
 * open(2) goes through /proc/self/fd.
 */
export class PassedFiles implements Disposable {
  readonly #fds: number[] = [];
  readonly #sets: string[] = [];

  /** The same machine, whose files are named so that QEMU finds them. @throws AgentError INVALID_ARGUMENT */
  pass(config: QemuConfig): QemuConfig {
    const { kernel, initrd, persistentMemory, disks } = config;
    return {
      ...config,
      kernel: this.#path("kernel", kernel),
      ...(initrd !== undefined && { initrd: this.#path("initrd", initrd) }),
      ...(persistentMemory !== undefined && {
        persistentMemory: persistentMemory.map((module) => ({
          ...module,
          path: this.#path("persistent memory", module.path),
        })),
      }),
      ...(disks !== undefined && { disks: disks.map((disk) => ({ ...disk, path: this.#set(disk) })) }),
    };
  }

  /**
   * A connection between us and QEMU that has no name, so nobody else can make it, and none is left behind.
   * @returns our end, and the number of its own in the child
   */
  connect(options: { readonly allowHalfOpen: boolean }): { socket: Socket; fd: number } {
    const [ours, theirs] = socketPair();
    return { socket: new Socket({ fd: ours, ...options }), fd: this.#add(theirs) };
  }

  /** QEMU's arguments, before those that name a set. */
  get arguments(): string[] {
    return this.#sets;
  }

  /** What the child has from descriptor 3 on. */
  get fds(): readonly number[] {
    return this.#fds;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }

  #path(what: string, path: string): string {
    return `/proc/self/fd/${this.#add(openFile(what, path, constants.O_RDONLY))}`;
  }

  #set(disk: Disk): string {
    const number = this.#add(openDisk(disk));
    this.#sets.push("-add-fd", `fd=${number},set=${number}`);
    return fdSetPath(number);
  }

  /** @returns its number in the child */
  #add(fd: number): number {
    return FIRST_FD + this.#fds.push(fd) - 1;
  }
}

export function fdSetPath(set: number): string {
  return `/dev/fdset/${set}`;
}

/** @returns a descriptor that the caller owns. @throws AgentError INVALID_ARGUMENT */
export function openDisk({ path, readonly = false, controller = 0, lun }: Disk): number {
  return openFile(`disk ${controller}:${lun}`, path, readonly ? constants.O_RDONLY : constants.O_RDWR);
}

function openFile(what: string, path: string, flags: number): number {
  try {
    // Opening must not wait, whatever the file has become since it was looked at.
    return openSync(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    throw new AgentError("INVALID_ARGUMENT", `${what} ${path} cannot be opened`, { cause });
  }
}
