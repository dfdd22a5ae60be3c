import { execFile } from "node:child_process";
import { constants, type Stats } from "node:fs";
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { AgentError } from "../errors.ts";

const CANDIDATES = ["/bin/busybox", "/usr/bin/busybox"];
/** Changes when the layout below does, so that a root of an older version is not taken for one of this. */
const LAYOUT_VERSION = 1;
const LIST_TIMEOUT_MS = 10_000;
/** Long enough for the slowest build; a directory of an interrupted one is removed after it. */
const ABANDONED_AFTER_MS = 10 * 60_000;

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
 * the user's cache directory and shared from then on, so containers must have it read-only.
 * @returns its absolute path
 * @throws AgentError INVALID_ARGUMENT when there is no static busybox, SYSTEM_CALL_FAILED
 */
export async function busyboxRoot(cacheDirectory = defaultCacheDirectory()): Promise<string> {
  const busybox = await findBusybox();
  const { size, mtimeMs } = busybox.stats;
  const name = `busybox-root-${LAYOUT_VERSION}-${size}-${Math.trunc(mtimeMs)}`;
  const path = join(cacheDirectory, name);
  if (await exists(path)) return path;
  try {
    await mkdir(cacheDirectory, { recursive: true, mode: 0o755 });
    await removeAbandoned(cacheDirectory);
    const made = await mkdtemp(join(cacheDirectory, ".making-"));
    try {
      await fill(made, busybox.path);
      await rename(made, path);
    } catch (cause) {
      await rm(made, { recursive: true, force: true });
      // Somebody else was faster.
      if (!(await exists(path))) throw cause;
    }
  } catch (cause) {
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `cannot make a root file system in ${cacheDirectory}; give one with --root`,
      {
        cause,
      },
    );
  }
  return path;
}

function defaultCacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "lcow-gcs");
}

async function findBusybox(): Promise<{ path: string; stats: Stats }> {
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
  const { stdout } = await promisify(execFile)(busybox, ["--list"], { timeout: LIST_TIMEOUT_MS });
  await chmod(root, 0o755);
  for (const directory of DIRECTORIES) await mkdir(join(root, directory), { recursive: true, mode: 0o755 });
  await chmod(join(root, "tmp"), 0o1777);
  for (const [file, text] of Object.entries(FILES)) await writeFile(join(root, file), text, { mode: 0o644 });
  await copyFile(busybox, join(root, "bin/busybox"));
  await chmod(join(root, "bin/busybox"), 0o755);
  const applets = stdout.split("\n").filter((applet) => /^[\w[.-]+$/.test(applet) && applet !== "busybox");
  for (const applet of applets) await symlink("busybox", join(root, "bin", applet));
}

async function removeAbandoned(cacheDirectory: string): Promise<void> {
  for (const entry of await readdir(cacheDirectory)) {
    if (!entry.startsWith(".making-")) continue;
    const path = join(cacheDirectory, entry);
    const stats = await stat(path).catch(() => undefined);
    if (stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_AFTER_MS) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
