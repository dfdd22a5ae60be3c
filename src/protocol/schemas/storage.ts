import * as v from "valibot";
import { checkContainerId } from "../container-id.ts";
import { nonEmptyString, object, optional, u8, u32, u53 } from "./base.ts";

/*
 * ModifySettings: disks, shares and layers of the utility VM. An absent number means 0, an absent flag false, an
 * absent string "": hosts leave those out.
 */

/** A SCSI disk itself, not what is mounted from it. Only Remove: lets go of the disk before the host detaches it. */
export const scsiDevice = object({
  /** The host's number of the SCSI controller, 0 to 3. */
  Controller: optional(u8),
  Lun: optional(u8),
});

/** dm-verity data of a device. Hosts still send it; guests read it from the device instead. */
const verityInfo = object({
  /** Bytes of the file system in front of the hash tree. */
  Ext4SizeInBytes: optional(u53),
  /** Version of the hash format on disk. */
  Version: optional(u32),
  /** "sha256". */
  Algorithm: optional(v.string()),
  /** Whether a verity super block stands in front of the hash tree. */
  SuperBlock: optional(v.boolean()),
  /** Hexadecimal. */
  RootDigest: optional(v.string()),
  /** Hexadecimal. */
  Salt: optional(v.string()),
  /** Bytes. */
  BlockSize: optional(u32),
});

/** A SCSI disk or a partition of one, mounted. */
export const mappedVirtualDisk = object({
  /** Absolute path in the utility VM. Empty: nothing is mounted. */
  MountPath: optional(v.string()),
  /** The host's number of the SCSI controller, 0 to 3. */
  Controller: optional(u8),
  Lun: optional(u8),
  /** From 1; 0 is the whole disk. */
  Partition: optional(u53),
  ReadOnly: optional(v.boolean()),
  /** Whether to put dm-crypt with a fresh key in between; what was on the disk is lost. */
  Encrypted: optional(v.boolean()),
  /** Mount options. */
  Options: optional(v.array(v.string())),
  /** Whether MountPath becomes a link to the block device instead of a mount. */
  BlockDev: optional(v.boolean()),
  VerityInfo: optional(verityInfo),
  /** Whether to make the file system when there is none. */
  EnsureFilesystem: optional(v.boolean()),
  /** "ext4" when empty; or "xfs". */
  Filesystem: optional(v.string()),
});

/** A directory of the host, shared over 9p. */
export const mappedDirectory = object({
  /** Absolute path in the utility VM. */
  MountPath: nonEmptyString,
  /** The host's vsock port of the 9p server. */
  Port: optional(u32),
  /** The 9p attach name. */
  ShareName: optional(v.string()),
  ReadOnly: optional(v.boolean()),
});

/** A read-only layer on a persistent-memory device. */
export const vpmemDevice = object({
  /** N of /dev/pmemN. */
  DeviceNumber: optional(u32),
  /** Absolute path in the utility VM. */
  MountPath: nonEmptyString,
  /** Which part of the device, when it holds several layers. */
  MappingInfo: optional(
    object({
      /** Bytes. */
      DeviceOffsetInBytes: optional(u53),
      /** Bytes. */
      DeviceSizeInBytes: optional(u53),
    }),
  ),
  VerityInfo: optional(verityInfo),
});

/** Layers united with overlayfs. */
export const combinedLayers = object({
  /** The container they are for. */
  ContainerID: optional(
    v.pipe(
      v.string(),
      v.transform((id) => {
        if (id !== "") checkContainerId(id);
        return id;
      }),
    ),
  ),
  /** Where the union is mounted: absolute path in the utility VM. */
  ContainerRootPath: nonEmptyString,
  /** Read-only layers, the topmost first. */
  Layers: optional(
    v.array(
      object({
        Id: optional(v.string()),
        /** Absolute path in the utility VM. */
        Path: nonEmptyString,
      }),
    ),
  ),
  /** Directory for the writable layer; empty: the union is read-only. */
  ScratchPath: optional(v.string()),
  /** Ours, not hcsshim's: memory of at most this many bytes is mounted at ScratchPath first, gone with the union. */
  ScratchSizeInBytes: optional(u53),
});

export type ScsiDevice = v.InferOutput<typeof scsiDevice>;
export type MappedVirtualDisk = v.InferOutput<typeof mappedVirtualDisk>;
export type MappedDirectory = v.InferOutput<typeof mappedDirectory>;
export type VpmemDevice = v.InferOutput<typeof vpmemDevice>;
export type CombinedLayers = v.InferOutput<typeof combinedLayers>;
