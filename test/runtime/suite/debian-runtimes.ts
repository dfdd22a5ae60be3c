/**
 * What exec-fifo.ts and state-directory.ts know of the runtimes' private files, held against every runc and crun that
 * Debian has: started and deleted without a call of the runtime, which then says the same of it. And that the runtime
 * itself is called where the files are not as known.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { type Test, test } from "tap";
import { unpackPackages } from "../../../rootfs/packages.ts";
import { Supervisor } from "../../../src/linux/supervisor.ts";
import type { OciRuntime } from "../../../src/runtime/runc/runc.ts";
import { RuntimeContext, warmUp } from "./context.ts";

const project = new URL("../../../", import.meta.url).pathname;
const directory = mkdtempSync(`${tmpdir()}/runtimes-`);

/** A command of the runtime's name; everything of this machine but the programs and libraries is as it is. */
function command(at: string, name: string, script: string): string {
  mkdirSync(at, { recursive: true });
  writeFileSync(`${at}/${name}`, `#!/bin/sh\n${script}\n`);
  chmodSync(`${at}/${name}`, 0o755);
  return `${at}/${name}`;
}

/** The suite's runtime with the suite's libraries, in a root of their own: it runs itself again from /proc/self/exe. */
async function runtimeOf(suite: string, name: string): Promise<{ path: string; version: string }> {
  const packages = await unpackPackages([name], {
    cache: `${project}out/cache`,
    suite,
    refresh: false,
    say() {},
  });
  const root = `${directory}/${suite}-${name}`;
  for (const unpacked of packages)
    cpSync(unpacked.directory, root, { recursive: true, verbatimSymlinks: true });
  const shared = ["/proc", "/sys", "/dev", "/run", "/tmp", project.replace(/\/$/, "")];
  for (const path of shared) mkdirSync(root + path, { recursive: true });
  // As in Debian, where the loader and libraries are asked for below /lib.
  for (const link of ["lib", "lib64", "bin", "sbin"]) {
    if (existsSync(`${root}/${link}`)) continue;
    execFileSync("ln", ["-s", `usr/${link}`, `${root}/${link}`]);
  }
  const program = ["usr/sbin", "usr/bin"].find((below) => existsSync(`${root}/${below}/${name}`));
  const mounts = shared.map((path) => `mount --rbind ${path} ${root}${path}`).join(" && ");
  const inside = `mount --rbind ${root} ${root} && ${mounts} && exec chroot ${root} /${program}/${name} "$@"`;
  const path = command(
    `${directory}/${suite}`,
    name,
    `exec unshare --mount --propagation private sh -c '${inside}' ${name} "$@"`,
  );
  return { path, version: packages.find((unpacked) => unpacked.name === name)?.version ?? "" };
}

/** @returns programs started by start() and by delete() */
async function lifeOf(t: Test, context: RuntimeContext, runtime: OciRuntime): Promise<[number, number]> {
  const container = await runtime.createContainer("c", context.bundle({ args: ["/bin/cat"] }));
  t.equal((await container.getState()).status, "created");
  const host = context.host();
  const before = context.supervisor.startedCount;
  await container.start(host.set);
  const starting = context.supervisor.startedCount - before;
  host.stdin.write("it runs\n");
  await host.stdout.until("it runs\n");
  t.equal((await container.getState()).status, "running", "and the runtime says so");
  host.stdin.end();
  t.equal(await container.getInitProcess().wait(), 0);
  const then = context.supervisor.startedCount;
  await container.delete();
  return [starting, context.supervisor.startedCount - then];
}

export async function runDebianRuntimes(): Promise<void> {
  const supervisor = new Supervisor();
  await warmUp("runc", supervisor);
  for (const suite of ["bookworm", "trixie"]) {
    for (const name of ["runc", "crun"]) {
      await test(`${name} of ${suite}`, { timeout: 300_000 }, async (t) => {
        const { path, version } = await runtimeOf(suite, name);
        t.match(execFileSync(path, ["--version"], { encoding: "utf8" }), version.split(/[+-]/)[0] ?? "");
        const context = new RuntimeContext(path, supervisor);
        t.same(
          await lifeOf(t, context, context.runtime),
          [0, 0],
          "neither start nor delete takes a call of it",
        );
        t.same(
          execFileSync(path, ["--root", context.stateRoot, "list", "--quiet"], { encoding: "utf8" }),
          "",
        );
        await context.close(t);
      });
    }
  }

  for (const name of ["runc", "crun"]) {
    await test(`${name} with its files elsewhere is called itself`, async (t) => {
      const elsewhere = `${directory}/elsewhere-${name}`;
      const script = `shift 2; exec ${name} --root ${elsewhere} "$@"`;
      const context = new RuntimeContext(name, supervisor);
      mkdirSync(context.stateRoot);
      const runtime = context.newRuntime(command(`${directory}/moved`, name, script));
      t.same(await lifeOf(t, context, runtime), [1, 1]);
      t.same(readdirSync(elsewhere), []);
      await context.close(t);
    });

    await test(`${name} that keeps more than is known deletes it itself`, async (t) => {
      const context = new RuntimeContext(name, supervisor);
      const container = await context.create("more", { args: ["/bin/true"] });
      await container.start();
      await container.getInitProcess().wait();
      writeFileSync(`${context.stateRoot}/more/of-a-later-version`, "");
      const before = context.supervisor.startedCount;
      await container.delete();
      t.equal(context.supervisor.startedCount, before + 1);
      t.same(readdirSync(context.stateRoot), []);
      await context.close(t);
    });
  }
  supervisor.close();
  rmSync(directory, { recursive: true });
}
