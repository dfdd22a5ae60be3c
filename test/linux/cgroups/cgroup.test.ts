import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { test } from "tap";
import { Cgroup } from "../../../src/linux/cgroups/cgroup.ts";
import { type CgroupLayout, detectCgroupLayout } from "../../../src/linux/cgroups/layout.ts";
import { signalAll } from "../../../src/runtime/runc/signal-all.ts";

const machine = detectCgroupLayout();

/** The machine's layout, and cgroup2 alone where it is mounted: killing and freezing need no controller. */
const layouts: [string, CgroupLayout][] = [["the machine's layout", machine]];
const unified = machine.mounts.filter((mount) => mount.unified);
if (machine.version === 1 && unified.length > 0) layouts.push(["cgroup2", { version: 2, mounts: unified }]);

let names = 0;

function makeCgroup(layout: CgroupLayout): { path: string; cgroup: Cgroup; parent: string } {
  const parent = `/lcow-cgroup-test-${process.pid}-${++names}`;
  const path = `${parent}/container`;
  for (const { mountPoint } of layout.mounts) mkdirSync(mountPoint + path, { recursive: true });
  return { path, cgroup: Cgroup.atPath(layout, path), parent };
}

function removeParent(layout: CgroupLayout, parent: string): void {
  for (const { mountPoint } of layout.mounts) rmdirSync(mountPoint + parent);
}

/** Starts a shell in the cgroup, until it says that it is in. */
async function join(layout: CgroupLayout, path: string, script: string): Promise<ChildProcess> {
  const files = layout.mounts
    .filter(({ controllers }) => !controllers.includes("cpuset"))
    .map(({ mountPoint }) => `${mountPoint}${path}/cgroup.procs`);
  const enter = files.map((file) => `echo $$ > '${file}';`).join(" ");
  const child = spawn("sh", ["-c", `${enter} ${script}`], { stdio: ["ignore", "pipe", "inherit"] });
  if (child.stdout) await once(child.stdout, "data");
  return child;
}

for (const [name, layout] of layouts) {
  test(`${name}: processes are listed, below too, frozen and killed; then it is removed`, async (t) => {
    const { path, cgroup, parent } = makeCgroup(layout);
    for (const { mountPoint } of layout.mounts) mkdirSync(`${mountPoint}${path}/below`);
    t.equal(cgroup.exists(), true);
    const children = [
      await join(layout, path, "echo in; while :; do sleep 0.02 & wait; done"),
      await join(layout, `${path}/below`, "echo in; exec sleep 1000"),
    ];
    const pids = children.map(({ pid }) => pid ?? 0);
    for (const pid of pids) t.ok((await cgroup.processes()).includes(pid));
    t.ok((await Cgroup.ofProcess(layout, pids[0] ?? 0)?.processes())?.includes(pids[0] ?? 0));

    t.equal(cgroup.isFrozen(), false);
    t.equal(cgroup.freeze(), true);
    t.equal(cgroup.isFrozen(), true);
    t.equal(cgroup.thaw(), true);
    t.equal(cgroup.isFrozen(), false);
    t.equal(cgroup.freeze(), true);

    const exits = children.map((child) => once(child, "exit"));
    await signalAll(cgroup, 9);
    for (const [, signal] of await Promise.all(exits)) t.equal(signal, "SIGKILL");
    await cgroup.remove();
    t.equal(cgroup.exists(), false);
    t.same(await cgroup.processes(), []);
    await cgroup.remove();
    t.throws(() => cgroup.statistics(), { code: "CGROUP_UNAVAILABLE" });
    removeParent(layout, parent);
  });

  test(`${name}: a cgroup whose name is no UTF-8 hides no process, and is removed`, async (t) => {
    const { path, cgroup, parent } = makeCgroup(layout);
    const directories = layout.mounts
      .filter(({ controllers }) => !controllers.includes("cpuset"))
      .map(({ mountPoint }) => `${mountPoint}${path}`);
    const enter = `for d in ${directories.join(" ")}; do
      below=$(printf '%s/\\377\\033[31m' $d); mkdir "$below"; echo $$ > "$below/cgroup.procs"; done`;
    const child = spawn("sh", ["-c", `${enter}; echo in; exec sleep 1000`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.teardown(() => child.kill("SIGKILL"));
    if (child.stdout) await once(child.stdout, "data");
    t.same(await cgroup.processes(), [child.pid]);
    const exit = once(child, "exit");
    await signalAll(cgroup, 15);
    t.same(await exit, [null, "SIGTERM"]);
    await cgroup.remove();
    t.equal(cgroup.exists(), false);
    removeParent(layout, parent);
  });

  test(`${name}: a signal goes to each process once`, async (t) => {
    const { path, cgroup, parent } = makeCgroup(layout);
    const child = await join(layout, path, "trap 'exit 5' USR1; echo in; while :; do sleep 0.02; done");
    const exit = once(child, "exit");
    await signalAll(cgroup, 10);
    t.same(await exit, [5, null]);
    await cgroup.remove();
    removeParent(layout, parent);
  });

  test(`${name}: what may be made below is bounded, where the kernel can`, async (t) => {
    const { path, cgroup, parent } = makeCgroup(layout);
    const [mount] = layout.mounts.filter(({ unified }) => unified);
    t.equal(cgroup.limitNesting({ descendants: 3, depth: 2 }), layout.version === 2);
    if (layout.version === 2) {
      const below = `${mount?.mountPoint}${path}`;
      mkdirSync(`${below}/a/b`, { recursive: true });
      t.throws(() => mkdirSync(`${below}/a/b/c`), { code: "EAGAIN" }, "too deep");
      mkdirSync(`${below}/d`);
      t.throws(() => mkdirSync(`${below}/e`), { code: "EAGAIN" }, "too many");
    }
    await cgroup.remove();
    removeParent(layout, parent);
  });

  test(`${name}: a cgroup with a process in it is not removed`, async (t) => {
    const { path, cgroup, parent } = makeCgroup(layout);
    const child = await join(layout, path, "echo in; exec sleep 1000");
    await t.rejects(cgroup.remove(), { code: "SYSTEM_CALL_FAILED", message: /is a process left in it/ });
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
    await cgroup.remove();
    removeParent(layout, parent);
  });
}

for (const [name, layout] of layouts.filter(([, { version }]) => version === 2)) {
  test(`${name}: a threaded cgroup hides no process`, async (t) => {
    const { path, cgroup, parent } = makeCgroup(layout);
    const below = `${layout.mounts[0]?.mountPoint}${path}/below`;
    mkdirSync(below);
    writeFileSync(`${below}/cgroup.type`, "threaded");
    const child = await join(layout, path, `echo $$ > ${below}/cgroup.threads; echo in; exec sleep 1000`);
    t.teardown(() => child.kill("SIGKILL"));
    t.same(await cgroup.processes(), [child.pid]);
    const exit = once(child, "exit");
    await signalAll(cgroup, 15);
    t.same(await exit, [null, "SIGTERM"]);
    await cgroup.remove();
    removeParent(layout, parent);
  });
}

test("what could hit others is refused", async (t) => {
  for (const path of ["/", "//", "/.", "relative", "", "/a/../b", "/.."])
    t.throws(() => Cgroup.atPath(machine, path), { code: "CGROUP_UNAVAILABLE" }, path);
  t.equal(Cgroup.ofProcess(machine, process.pid), undefined, "our own cgroups are no container's");
  t.equal(Cgroup.ofProcess(machine, 1), undefined);
  t.equal(Cgroup.ofProcess(machine, 2 ** 30), undefined);

  const mount = machine.mounts.find(({ unified, controllers }) =>
    machine.version === 2 ? unified : controllers.includes("devices"),
  );
  const own = `/lcow-cgroup-test-own-${process.pid}`;
  const directory = `${mount?.mountPoint}${own}`;
  mkdirSync(directory);
  const cgroup = Cgroup.atPath(machine, own);
  const home = Cgroup.ofProcess(machine, process.pid);
  t.equal(home, undefined);
  writeFileSync(`${directory}/cgroup.procs`, String(process.pid));
  try {
    t.throws(() => Cgroup.atPath(machine, own), { code: "CGROUP_UNAVAILABLE" });
    await t.rejects(signalAll(cgroup, 9), { code: "INVALID_STATE" });
  } finally {
    writeFileSync(`${mount?.mountPoint}/cgroup.procs`, String(process.pid));
    rmdirSync(directory);
  }
  t.notOk(existsSync(directory));
});
