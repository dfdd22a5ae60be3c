import { tmpdir } from "node:os";
import { cacheHome } from "../../common/cache/cache-directory.ts";
import { type BootFiles, builtImage } from "../../hcs/uvm/qemu/built-image.ts";

/** Where the checks look. */
export interface Surroundings {
  readonly nodeFlags: readonly string[];
  readonly user: number;
  /** Directories of programs, as in the variable. */
  readonly path: string;
  /** May throw: see builtImage(). */
  readonly image: () => BootFiles;
  readonly kvm: string;
  readonly vhostVsock: string;
  /** Prefix of /proc. */
  readonly root: string;
  readonly cache: string;
  readonly run: string;
  readonly temporary: string;
  /** Where disks are made for what containers write. */
  readonly scratch: string;
  /** Of `lcow serve`. */
  readonly stateDirectory: string;
}

/** This machine as it is. */
export function hereAndNow(stateDirectory: string): Surroundings {
  return {
    nodeFlags: process.execArgv,
    user: process.geteuid?.() ?? -1,
    path: process.env.PATH ?? "",
    image: builtImage,
    kvm: "/dev/kvm",
    vhostVsock: "/dev/vhost-vsock",
    root: "",
    cache: cacheHome(),
    run: "/run",
    temporary: tmpdir(),
    scratch: "/var/tmp",
    stateDirectory,
  };
}
