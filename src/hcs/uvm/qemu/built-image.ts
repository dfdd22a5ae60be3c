import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { AgentError } from "../../../common/errors.ts";
import { isPackaged, packageRoot } from "../../../common/installation.ts";
import { version } from "../../../common/version.ts";

/** What a utility VM boots from. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd: string;
}

/** The npm package that has a built image in it, for machines like this one. */
export const IMAGE_PACKAGE = `lcow-gcs-image-${process.arch}`;

/** How to get an image, for messages. */
export const IMAGE_REMEDY = isPackaged
  ? `install it with: npm install ${IMAGE_PACKAGE}, or build it with: lcow image`
  : "build it with: npm run image (or: bin/lcow image)";

/**
 * The one place that says where the image is: in the directory that LCOW_IMAGE names; in a checkout in `out`, where
 * `npm run image` puts it; for an installed package in the package beside it that brings one, else where `lcow image`
 * puts it. Whether it is there is not looked at.
 * @throws AgentError INVALID_ARGUMENT when the package beside it belongs to another version of this one
 */
export function imageDirectory(): string {
  const named = process.env.LCOW_IMAGE;
  if (named) return resolve(named);
  if (!isPackaged) return join(packageRoot, "out");
  return packagedImage() ?? ownImageDirectory();
}

/**
 * Where `lcow image` of an installed package puts what it builds, and works: the package itself may be another user's.
 * Each version has its own.
 */
export function ownImageDirectory(): string {
  const configured = process.env.XDG_DATA_HOME;
  const parent =
    configured !== undefined && isAbsolute(configured) ? configured : join(homedir(), ".local/share");
  return join(parent, "lcow-gcs", version, "image");
}

/** The files of the image in {@link imageDirectory}. @throws as that */
export function builtImage(): BootFiles {
  const directory = imageDirectory();
  return { kernel: join(directory, "vmlinux"), initrd: join(directory, "initrd.img") };
}

/**
 * The image that is there. It is never built by a call that asks for it: that takes minutes, and downloads.
 * @throws AgentError SPAWN_FAILED with what to do when it is not there, INVALID_ARGUMENT as imageDirectory()
 */
export function findBuiltImage(image: BootFiles = builtImage()): BootFiles {
  for (const file of [image.kernel, image.initrd]) {
    try {
      accessSync(file, constants.R_OK);
    } catch (cause) {
      const message = `there is no image to boot, as ${file} cannot be read; ${IMAGE_REMEDY}, or name other files: --kernel and --initrd, for a program VirtualMachine.Chipset.LinuxKernelDirect`;
      throw new AgentError("SPAWN_FAILED", message, { cause });
    }
  }
  return image;
}

function packagedImage(): string | undefined {
  let file: string;
  try {
    file = createRequire(import.meta.url).resolve(`${IMAGE_PACKAGE}/package.json`);
  } catch {
    // Not installed, or none for machines like this one.
    return undefined;
  }
  const { version: theirs } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  if (theirs === version) return dirname(file);
  throw new AgentError(
    "INVALID_ARGUMENT",
    `the image in ${dirname(file)} is of version ${theirs}, and this is lcow-gcs ${version}; install ${IMAGE_PACKAGE}@${version}`,
  );
}
