/** What a machine can run out of, made scarce for one process or one directory. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, statfsSync, writeFileSync } from "node:fs";
import { detectCgroupLayout, parseProcessCgroups } from "../../../src/linux/cgroups/layout.ts";

/** A file system in memory whose room can be taken away. */
export class SmallDisk {
  readonly #path: string;

  /** @param path empty directory, in a mount namespace of this test's own */
  constructor(path: string) {
    this.#path = path;
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m,nr_inodes=10000", "none", path]);
  }

  /** Only so many bytes are free from here. */
  leaveBytes(bytes: number): void {
    const { blocks, bfree, bsize } = statfsSync(this.#path);
    // No size is no limit.
    this.#remount(`size=${(blocks - bfree) * bsize + bytes}`);
  }

  /** Only so many files and directories can be made from here. */
  leaveFiles(count: number): void {
    const { files, ffree } = statfsSync(this.#path);
    this.#remount(`nr_inodes=${files - ffree + count}`);
  }

  /** At the end, whoever looks into it still. */
  unmount(): void {
    execFileSync("umount", ["--lazy", this.#path]);
  }

  relieve(): void {
    this.#remount("size=64m,nr_inodes=10000");
  }

  #remount(options: string): void {
    execFileSync("mount", ["-o", `remount,${options}`, this.#path]);
  }
}

/** Only so many descriptors more can the process open. @returns what lifts that */
export function leaveDescriptors(pid: number, count: number): () => void {
  const limits = () => execFileSync("prlimit", ["--pid", String(pid), "--nofile", "--noheadings", "--raw"]);
  const [, , soft = ""] = limits().toString().trim().split(/\s+/);
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let limit = 0;
  for (let free = 0; free < count || used.has(limit); limit++) if (!used.has(limit)) free++;
  const set = (to: number | string) => execFileSync("prlimit", ["--pid", String(pid), `--nofile=${to}:`]);
  set(limit);
  return () => void set(soft);
}

/** A cgroup in which only so many processes and threads can be made. */
export class FewProcesses {
  readonly #directory: string;
  readonly #before: string;
  readonly #pid: number;

  constructor(pid: number, name: string) {
    this.#pid = pid;
    const layout = detectCgroupLayout();
    const mount = layout.mounts.find((one) =>
      layout.version === 2 ? one.unified : one.controllers.includes("pids"),
    );
    if (mount === undefined) throw new Error("this machine has no pids controller");
    const now = [...parseProcessCgroups(readFileSync(`/proc/${pid}/cgroup`, "utf8"), layout)];
    const [, path = "/"] = now.find(([one]) => one === mount) ?? [];
    this.#before = `${mount.mountPoint}${path}`;
    this.#directory = `${mount.mountPoint}/${name}`;
    mkdirSync(this.#directory);
    this.#move(this.#directory);
  }

  leave(count: number): void {
    const current = Number(readFileSync(`${this.#directory}/pids.current`, "utf8"));
    writeFileSync(`${this.#directory}/pids.max`, String(current + count));
  }

  relieve(): void {
    writeFileSync(`${this.#directory}/pids.max`, "max");
  }

  remove(): void {
    this.#move(this.#before);
    rmdirSync(this.#directory);
  }

  #move(directory: string): void {
    writeFileSync(`${directory}/cgroup.procs`, String(this.#pid));
  }
}

/** In this mount namespace. @returns what makes them writable again */
export function makeCgroupsReadOnly(): () => void {
  const points = detectCgroupLayout().mounts.map(({ mountPoint }) => mountPoint);
  const remount = (mode: string) => {
    for (const point of points) execFileSync("mount", ["-o", `remount,bind,${mode}`, point]);
  };
  remount("ro");
  return () => remount("rw");
}
