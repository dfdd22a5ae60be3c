import { join } from "node:path";
import { compileAddon } from "../../rootfs/compiled.ts";
import { architectures, defaultSuite } from "../../rootfs/image.ts";
import { Toolchain } from "../../rootfs/toolchain.ts";

/** Compilers of Debian's, on a machine of x64. */
const CROSS = { package: "g++-aarch64-linux-gnu", compiler: "aarch64-linux-gnu-g++" };

/**
 * The addon for each platform that the package has it for, by the image's own compilers: it loads wherever the C library
 * is no older than Debian 12's.
 * @returns files by Node's names of platform and architecture
 */
export async function compilePrebuilds(
  root: string,
  say: (text: string) => void,
): Promise<Record<string, string>> {
  const options = { cache: join(root, "out/cache"), suite: defaultSuite, refresh: false, say };
  const { nodePackage } = architectures.x64;
  const own = await Toolchain.open(options);
  const cross = await Toolchain.open(options, [CROSS.package]);
  return {
    "linux-x64": await compileAddon(root, nodePackage, own),
    "linux-arm64": await compileAddon(root, nodePackage, cross, CROSS.compiler),
  };
}
