import { accessSync, constants } from "node:fs";
import { fileURLToPath } from "node:url";
import { AgentError } from "../../../common/errors.ts";

/** What a utility VM boots from. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd: string;
}

/** Where `npm run image` puts the image. */
export const builtImage: BootFiles = {
  kernel: fileURLToPath(new URL("../../../../out/vmlinux", import.meta.url)),
  initrd: fileURLToPath(new URL("../../../../out/initrd.img", import.meta.url)),
};

/**
 * The image that was built here. It is never built by a call that asks for it: that takes minutes, and downloads.
 * @throws AgentError SPAWN_FAILED with what to do when it is not there
 */
export function findBuiltImage(image: BootFiles = builtImage): BootFiles {
  for (const file of [image.kernel, image.initrd]) {
    try {
      accessSync(file, constants.R_OK);
    } catch (cause) {
      const message = `there is no image to boot, as ${file} cannot be read; build it with: npm run image (or: bin/lcow image), or name a kernel in VirtualMachine.Chipset.LinuxKernelDirect`;
      throw new AgentError("SPAWN_FAILED", message, { cause });
    }
  }
  return image;
}
