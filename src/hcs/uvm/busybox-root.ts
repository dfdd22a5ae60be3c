import { constants, type Stats } from "node:fs";
import { chmod, copyFile, mkdir, open, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheEntries } from "../../common/cache/cache.ts";
import type { Lease } from "../../common/cache/entries.ts";
import { AgentError } from "../../common/errors.ts";
import { runHelper } from "../../common/helper.ts";

const CANDIDATES = ["/bin/busybox", "/usr/bin/busybox"];
/** Changes when the layout below does, so that a root of an older version is not taken for one of this. */
const LAYOUT_VERSION = 2;
const LIST_DEADLINE_MS = 10_000;

const DIRECTORIES = [
  "bin",
  "dev",
  "etc",
  "home",
  "proc",
  "root",
  "run",
  "sys",
  "tmp",
  "usr/bin",
  "usr/sbin",
  "sbin",
  "var",
];
const FILES = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
  "etc/group": "root:x:0:\nnobody:x:65534:\n",
  // Mount points: the agent binds its own over them.
  "etc/hostname": "",
  "etc/hosts": "",
  "etc/resolv.conf": "",
};

/** Directories of the root that a container may write to when each has a tmpfs of its own. */
export const BUSYBOX_TEMPORARY_DIRECTORIES = ["/tmp", "/run", "/root", "/var", "/home"];

/**
 * A small root file system: /bin/sh and the other applets of the machine's static busybox. Made on first use in
 * the user's cache directory and shared from then on, so nothing may write to it: neither a container nor its
 * runtime, which makes mount points.
 * @returns its absolute path, in use until it is released
 * @throws AgentError INVALID_ARGUMENT when there is no static busybox or the cache is not safe, SYSTEM_CALL_FAILED
 */
export async function busyboxRoot(): Promise<Lease> {
  const busybox = await findBusybox();
  const roots = await cacheEntries("roots");
  const name = rootName(busybox);
  const found = roots.take(name);
  if (found !== undefined) return found;
  const made = roots.stagingPath();
  try {
    await mkdir(made, { mode: 0o700 });
    await fill(made, busybox.path);
    return roots.add(made, name);
  } catch (cause) {
    await rm(made, { recursive: true, force: true });
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `cannot make a root file system in ${roots.directory}; give one with --root`,
      { cause },
    );
  }
}

/** What the root that would be used now is called in the cache; undefined without a busybox to make one of. */
export async function currentRootName(): Promise<string | undefined> {
  return await findBusybox().then(rootName, () => undefined);
}

function rootName({ stats: { size, mtimeMs } }: Busybox): string {
  return `busybox-root-${LAYOUT_VERSION}-${size}-${Math.trunc(mtimeMs)}`;
}

/** @returns the path of the busybox that the default root is made of. @throws AgentError INVALID_ARGUMENT */
export async function busyboxPath(): Promise<string> {
  return (await findBusybox()).path;
}

interface Busybox {
  readonly path: string;
  readonly stats: Stats;
}

async function findBusybox(): Promise<Busybox> {
  for (const path of CANDIDATES) {
    const stats = await stat(path).catch(() => undefined);
    // With a program interpreter it would look for libraries that the root has not.
    if (stats?.isFile() && !(await hasInterpreter(path))) return { path, stats };
  }
  throw new AgentError(
    "INVALID_ARGUMENT",
    "no static busybox for the default root file system; run: apt-get install busybox-static, or give a root with --root",
  );
}

/** Whether an ELF file is dynamically linked: its program header has an entry PT_INTERP; elf(5). */
async function hasInterpreter(path: string): Promise<boolean> {
  const PT_INTERP = 3;
  const file = await open(path, constants.O_RDONLY);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    if (bytesRead < 64 || buffer.readUInt32BE(0) !== 0x7f454c46) return true;
    const offset = Number(buffer.readBigUInt64LE(32));
    const entrySize = buffer.readUInt16LE(54);
    const count = buffer.readUInt16LE(56);
    for (let at = offset, index = 0; index < count && at + 4 <= bytesRead; index++, at += entrySize) {
      if (buffer.readUInt32LE(at) === PT_INTERP) return true;
    }
    return false;
  } finally {
    await file.close();
  }
}

async function fill(root: string, busybox: string): Promise<void> {
  const { stdout } = await runHelper(busybox, ["--list"], { deadlineMs: LIST_DEADLINE_MS });
  await chmod(root, 0o755);
  for (const directory of DIRECTORIES) await mkdir(join(root, directory), { recursive: true, mode: 0o755 });
  await chmod(join(root, "tmp"), 0o1777);
  for (const [file, text] of Object.entries(FILES)) await writeFile(join(root, file), text, { mode: 0o644 });
  await copyFile(busybox, join(root, "bin/busybox"));
  await chmod(join(root, "bin/busybox"), 0o755);
  const applets = stdout.split("\n").filter((applet) => /^[\w[.-]+$/.test(applet) && applet !== "busybox");
  for (const applet of applets) await symlink("busybox", join(root, "bin", applet));
}
