import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/**
 * A busybox root file system for test containers: /bin/sh and every applet, statically linked. Made once and kept
 * under out/, shared by all tests: treat it as read-only, or take copyRootfs().
 */
export function busyboxRootfs(): string {
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (busybox === undefined) throw new Error("busybox is missing; run scripts/setup");
  const { mtimeMs, size } = statSync(busybox);
  const target = `${dirname(dirname(import.meta.dirname))}/out/test-rootfs/${Math.trunc(mtimeMs)}-${size}`;
  if (existsSync(target)) return target;
  mkdirSync(dirname(target), { recursive: true });
  // Tests run at once: each makes its own, one wins.
  const made = mkdtempSync(`${target}-`);
  fillRootfs(made, busybox);
  try {
    renameSync(made, target);
  } catch (error) {
    rmSync(made, { recursive: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

/** A root file system that a test may write to. @param target directory that does not exist yet. */
export function copyRootfs(target: string): string {
  cpSync(busyboxRootfs(), target, { recursive: true, verbatimSymlinks: true });
  return target;
}

function fillRootfs(root: string, busybox: string): void {
  for (const directory of ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var"])
    mkdirSync(`${root}/${directory}`, { recursive: true });
  cpSync(busybox, `${root}/bin/busybox`);
  const applets = execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", `${root}/bin/${applet}`);
  writeFileSync(
    `${root}/etc/passwd`,
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  );
  writeFileSync(`${root}/etc/group`, "root:x:0:\nnobody:x:65534:\n");
}
