/**
 * For every Node that is started to run a program of this project; bin/node-pinned and the image (rootfs/image.ts)
 * pass the same. Without it SIGUSR1 opens Node's inspector, a port on 127.0.0.1 through which any user of the machine
 * runs code as the user of that process. Each Node that can run these sources, without a build, knows it (22.14 on).
 */
export const nodeFlags: readonly string[] = ["--disable-sigusr1"];
