/** An agent that starts where an earlier one was killed. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "tap";
import { GuestConnection } from "../../src/hcs/guest/guest-connection.ts";
import { UnixHostTransport } from "../../src/hcs/transport/unix-host-transport.ts";
import { Cgroup } from "../../src/linux/cgroups/cgroup.ts";
import { detectCgroupLayout } from "../../src/linux/cgroups/layout.ts";
import { type Agent, startAgent } from "../helpers/agent.ts";
import { ociSpec } from "../helpers/bundle.ts";
import { executeBody, UVM } from "../helpers/gcs-requests.ts";
import { RawHost } from "../helpers/raw-host.ts";

async function hostOf(agent: Agent) {
  const transport = new UnixHostTransport(agent.prefix);
  const guest = await GuestConnection.listen(transport);
  await guest.accept();
  const close = async () => {
    await guest.close();
    await transport.close();
  };
  return { guest, close };
}

test("it tells which containers are there, and leaves them alone", { timeout: 60_000 }, async (t) => {
  const first = startAgent();
  const state = `${first.directory}/state`;
  const before = await hostOf(first);
  const container = {
    bundlePath: `${first.directory}/c/left`,
    spec: ociSpec({ args: ["/bin/sleep", "1000"] }),
  };
  await before.guest.createContainer("left", container);
  const died = once(first.child, "exit");
  first.child.kill("SIGKILL");
  await died;
  await before.close();

  const second = startAgent(["--runtime-root", state]);
  const after = await hostOf(second);
  t.teardown(async () => {
    await after.close();
    await second.stop();
    execFileSync("runc", ["--root", state, "delete", "--force", "left"]);
    await first.stop();
    await Cgroup.atPath(detectCgroupLayout(), first.cgroupParent).remove();
  });
  while (!second.log().includes("did not make")) await once(second.child.stderr ?? second.child, "data");
  const line = second
    .log()
    .split("\n")
    .find((text) => text.includes("did not make"));
  t.match(JSON.parse(line ?? ""), { level: "warning", cid: "left", status: "created" });
  const again = { bundlePath: `${second.directory}/c/left`, spec: ociSpec() };
  await t.rejects(after.guest.createContainer("left", again), { code: "SYSTEM_ALREADY_EXISTS" });
  await after.guest.createContainer("other", { ...again, bundlePath: `${second.directory}/c/other` });
  const listed = JSON.parse(
    execFileSync("runc", ["--root", state, "list", "--format", "json"], { encoding: "utf8" }),
  );
  t.match(listed, [{ id: "left", status: "created" }, { id: "other" }]);
});

test("what a process outside containers left behind ends with the agent", { timeout: 60_000 }, async (t) => {
  const agent = startAgent();
  const host = new RawHost(agent.prefix);
  t.teardown(() => host.close());
  await host.accept();
  await host.negotiate();
  const mark = `97${process.pid}`;
  // Sessions of their own, children of children, one that ignores all that it can.
  const script = [
    `setsid sleep ${mark}1 &`,
    `setsid sh -c 'trap "" TERM HUP INT; sleep ${mark}2; sleep ${mark}3' &`,
    `sh -c '(sleep ${mark}4 & sleep ${mark}5) &'`,
  ].join("\n");
  const started = await host.request(
    "ExecuteProcess",
    executeBody(UVM, { CommandArgs: ["/bin/sh", "-c", script] }),
  );
  const wait = { ContainerId: UVM, ProcessId: started.ProcessId, TimeoutInMs: 0xffffffff };
  t.match(await host.request("WaitForProcess", wait), { Result: 0, ExitCode: 0 });
  t.ok(running(mark).length >= 4, "they run on");
  t.equal(await agent.stop(), 0);
  t.same(running(mark), [], "none is left");
});

/** Command lines that hold a word. */
function running(word: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
      } catch {
        return "";
      }
    })
    .filter((line) => line.includes(word));
}
