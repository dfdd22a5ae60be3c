/** Whatever is in the way of a deletion, it can be said again until it is done, and then the id is free. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { detectCgroupLayout } from "../../src/linux/cgroups/layout.ts";
import { mount, mountFlags, unmount } from "../../src/linux/libc.ts";
import { createBody, runSleeper } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";

const layout = detectCgroupLayout();
const { mountPoint = "" } =
  layout.mounts.find(({ controllers, unified }) => controllers.includes("pids") || unified) ?? {};

const directory = t.testdir({});
const switchFile = `${directory}/fail`;
const wrapper = `${directory}/runc`;
// Fails in a deletion before, or after, it was done.
writeFileSync(
  wrapper,
  `#!/bin/sh
case "$(cat ${switchFile} 2>/dev/null) $*" in
"before "*" delete "*) echo "told not to" >&2; exit 1;;
"after "*" delete "*) runc "$@"; echo "told to fail" >&2; exit 1;;
esac
exec runc "$@"
`,
);
chmodSync(wrapper, 0o755);
const guest = await startGuest(t, ["--oci-runtime", wrapper]);
const { agent, host } = guest;
await host.negotiate();
const bundleOf = (id: string) => `${agent.directory}/c/${id}`;
const cgroupOf = (id: string) => `${mountPoint}${agent.cgroupParent}/${id}`;

async function shutDown(id: string, ProcessId: number): Promise<void> {
  await host.request("ShutdownForced", { ContainerId: id });
  const body = { ContainerId: id, ProcessId, TimeoutInMs: 0xffffffff };
  if ((await host.request("WaitForProcess", body)).ExitCode !== 137) throw new Error(`${id} was not killed`);
}
async function stopped(id: string): Promise<void> {
  const ProcessId = await runSleeper(host, id, bundleOf(id));
  await shutDown(id, ProcessId);
}
const remove = (id: string) => host.request("DeleteContainerState", { ContainerId: id });
async function isFree(t: Test, id: string): Promise<void> {
  t.notOk(existsSync(cgroupOf(id)), "its cgroup is gone");
  await stopped(id);
  const next = await remove(id);
  t.equal(next.Result, 0, `the next of that id lives and goes: ${next.ErrorMessage}`);
  t.notOk(existsSync(bundleOf(id)), "with its bundle");
}

await t.test("the runtime's state is gone", async (t) => {
  await stopped("state");
  rmSync(`${agent.directory}/state/state`, { recursive: true });
  const deleted = await remove("state");
  t.equal(deleted.Result, 0, `${deleted.ErrorMessage}`);
  await isFree(t, "state");
});

await t.test("the runtime's state is gone while it runs", async (t) => {
  const init = await runSleeper(host, "running", bundleOf("running"));
  rmSync(`${agent.directory}/state/running`, { recursive: true });
  t.not((await remove("running")).Result, 0, "it runs");
  await shutDown("running", init);
  const deleted = await remove("running");
  t.equal(deleted.Result, 0, `${deleted.ErrorMessage}`);
  await isFree(t, "running");
});

await t.test("part of the runtime's state is gone, or is what no runtime makes", async (t) => {
  await stopped("part");
  const state = `${agent.directory}/state/part`;
  for (const name of readdirSync(state)) writeFileSync(`${state}/${name}`, "{");
  const deleted = await remove("part");
  t.equal(deleted.Result, 0, `${deleted.ErrorMessage}`);
  await isFree(t, "part");
});

await t.test("a stranger sits in its cgroup", async (t) => {
  await stopped("stranger");
  const child = spawn("/bin/sleep", ["1000"]);
  t.teardown(() => child.kill("SIGKILL"));
  for (const name of layout.mounts.map((one) => one.mountPoint)) {
    const cgroup = `${name}${agent.cgroupParent}/stranger`;
    if (existsSync(cgroup)) writeFileSync(`${cgroup}/cgroup.procs`, String(child.pid));
  }
  const deleted = await remove("stranger");
  t.equal(deleted.Result, 0, `${deleted.ErrorMessage}`);
  await isFree(t, "stranger");
});

await t.test("the bundle cannot be removed", async (t) => {
  await stopped("bundle");
  const file = `${bundleOf("bundle")}/config.json`;
  rmSync(file);
  mkdirSync(file);
  const deleted = await remove("bundle");
  t.equal(deleted.Result, 0, `what is somebody else's is left: ${deleted.ErrorMessage}`);
  rmSync(bundleOf("bundle"), { recursive: true });
  await isFree(t, "bundle");
  await stopped("readonly");
  await mount(bundleOf("readonly"), bundleOf("readonly"), "", mountFlags.bind);
  await mount("", bundleOf("readonly"), "", mountFlags.bind | mountFlags.remount | mountFlags.readOnly);
  const refused = await remove("readonly");
  t.not(refused.Result, 0);
  t.match(refused.ErrorMessage, /bundle|config\.json/);
  await unmount(bundleOf("readonly"));
  t.equal((await remove("readonly")).Result, 0, "once it can be, it is");
  await isFree(t, "readonly");
});

for (const when of ["before", "after"]) {
  await t.test(`the runtime's own deletion fails ${when} it was done`, async (t) => {
    const created = await host.request(
      "Create",
      createBody(when, bundleOf(when), { args: ["/bin/sleep", "9"] }),
    );
    t.equal(created.Result, 0);
    // The agent does it by itself where nothing but what it knows is there.
    writeFileSync(`${agent.directory}/state/${when}/unknown`, "");
    writeFileSync(switchFile, when);
    t.not((await remove(when)).Result, 0);
    rmSync(switchFile);
    const deleted = await remove(when);
    t.equal(deleted.Result, 0, `${deleted.ErrorMessage}`);
    await isFree(t, when);
  });
}
t.same(readdirSync(`${agent.directory}/c`), [], "no bundle is left");
t.notMatch(readFileSync("/proc/self/mountinfo", "utf8"), agent.directory);
