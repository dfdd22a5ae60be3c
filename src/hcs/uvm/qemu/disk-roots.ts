/** Roots of containers in a virtual machine: a directory's image as a read-only disk, and a layer above it. */
import { AgentError } from "../../../common/errors.ts";
import type { GuestConnection } from "../../guest/guest-connection.ts";
import { BUSYBOX_TEMPORARY_DIRECTORIES, busyboxRoot } from "../busybox-root.ts";
import { type LeasedImage, leaseLayerImage } from "../layers/layer-image.ts";
import { makeScratchImage } from "../layers/scratch-disk.ts";
import { MOUNT_POINT_BYTES, resolveDirectory } from "../root-directory.ts";
import type { ContainerRoot, RootOptions } from "../utility-vm.ts";
import type { QemuVm } from "./qemu-vm.ts";

/** A sparse file: what a container does not write costs nothing. */
const SCRATCH_BYTES = 16 * 2 ** 30;
/** Logical units of a SCSI controller: 0 to 63, as HCS has them. */
const LUNS = 64;

type Undo = () => Promise<void>;

export class DiskRoots {
  readonly #vm: QemuVm;
  readonly #guest: GuestConnection;
  readonly #freeLuns: number[];
  /** Images that are attached. */
  readonly #images = new Set<LeasedImage>();
  #count = 0;

  /** @param firstLun of controller 0; those before it are somebody else's */
  constructor(vm: QemuVm, guest: GuestConnection, firstLun: number) {
    this.#vm = vm;
    this.#guest = guest;
    this.#freeLuns = Array.from({ length: LUNS - firstLun }, (_, index) => firstLun + index);
  }

  /** See UtilityVm.prepareRoot(). */
  async prepare(directory?: string, { readWrite = false }: RootOptions = {}): Promise<ContainerRoot> {
    if (readWrite) {
      throw new AgentError(
        "NOT_SUPPORTED",
        `the root ${directory ?? "of the guest"} cannot be written to by a virtual machine, which has a copy of it as a disk; leave out --read-write, or run without a machine (--local)`,
      );
    }
    const undo: Undo[] = [];
    const release = async () => {
      // A step that fails is the first of the next call.
      for (let step = undo.at(-1); step !== undefined; step = undo.at(-1)) {
        await step();
        undo.pop();
      }
    };
    try {
      const layer = await this.#attachLayer(await imageOf(directory), undo);
      const number = this.#count++;
      const path = `/run/lcow/root${number}`;
      // Nothing of a busybox root is written to but mount points, which a disk would be too much for.
      const scratch =
        directory === undefined
          ? { ScratchPath: `/run/lcow/scratch${number}`, ScratchSizeInBytes: MOUNT_POINT_BYTES }
          : { ScratchPath: await this.#attachScratch(undo) };
      await this.#guest.modify({
        ResourceType: "CombinedLayers",
        RequestType: "Add",
        Settings: { ContainerRootPath: path, Layers: [{ Path: layer }], ...scratch },
      });
      undo.push(() =>
        this.#guest.modify({
          ResourceType: "CombinedLayers",
          RequestType: "Remove",
          Settings: { ContainerRootPath: path },
        }),
      );
      return directory === undefined
        ? { path, readonly: true, temporaryDirectories: BUSYBOX_TEMPORARY_DIRECTORIES, release }
        : { path, readonly: false, temporaryDirectories: [], release };
    } catch (cause) {
      // Why it failed is what matters; a guest that cannot undo either is lost, and told so by its own end.
      await release().catch(() => undefined);
      throw cause;
    }
  }

  /** Lets go of the images; for when the machine has ended. */
  close(): void {
    for (const image of this.#images) image.release();
  }

  async #attachLayer(image: LeasedImage, undo: Undo[]): Promise<string> {
    this.#images.add(image);
    undo.push(async () => {
      image.release();
      this.#images.delete(image);
    });
    return await this.#attach(image.path, true, undo);
  }

  async #attachScratch(undo: Undo[]): Promise<string> {
    const scratch = await makeScratchImage(SCRATCH_BYTES);
    try {
      return await this.#attach(scratch.path, false, undo);
    } finally {
      // QEMU has it open now, and nobody else needs it.
      await scratch.close();
    }
  }

  /** @returns where it is mounted in the guest. */
  async #attach(path: string, readonly: boolean, undo: Undo[]): Promise<string> {
    const lun = this.#freeLuns.shift();
    if (lun === undefined) {
      throw new AgentError(
        "INVALID_STATE",
        "there is no room for the disk of another root; delete a container",
      );
    }
    undo.push(async () => void this.#freeLuns.push(lun));
    await this.#vm.attachDisk({ path, readonly, lun });
    undo.push(() => this.#vm.detachDisk({ lun }));
    const address = { Lun: lun, Controller: 0 };
    undo.push(() =>
      this.#guest.modify({ ResourceType: "SCSIDevice", RequestType: "Remove", Settings: address }),
    );
    const mountPath = `/run/mounts/scsi/m${lun}`;
    await this.#guest.modify({
      ResourceType: "MappedVirtualDisk",
      RequestType: "Add",
      Settings: { MountPath: mountPath, ...address, ReadOnly: readonly },
    });
    undo.push(() =>
      this.#guest.modify({
        ResourceType: "MappedVirtualDisk",
        RequestType: "Remove",
        Settings: { MountPath: mountPath, ...address },
      }),
    );
    return mountPath;
  }
}

async function imageOf(directory: string | undefined): Promise<LeasedImage> {
  if (directory !== undefined) return await leaseLayerImage(await resolveDirectory(directory));
  const root = await busyboxRoot();
  try {
    return await leaseLayerImage(root.path);
  } finally {
    root.release();
  }
}
