/**
 * The image's agent in a VM, driven from outside through the forwarder in the guest: the suites of the agent alone,
 * with cgroup v2 and the image's own runtimes, and what only a VM can show.
 */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import t from "tap";
import { KERNEL_ARGUMENTS } from "../../src/hcs/uvm/qemu/qemu-uvm.ts";
import { requestTypeOf } from "../../src/protocol/messages.ts";
import { sendBadInput } from "../gcs/suites/bad-input.ts";
import type { GuestEnvironment } from "../gcs/suites/environment.ts";
import { replayTranscript } from "../gcs/suites/transcript.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { type RawHost, withDeadline } from "../helpers/raw-host.ts";
import { bootVm, type VmGuest } from "../helpers/vm.ts";
import { attackFromContainer } from "./container-attacks.ts";
import { podInVm } from "./pods.ts";

/** Emulated, everything takes ten times as long as on this machine. */
const TIMEOUT_MS = 220_000;
/** A port of the host's. */
const LAST_WORDS = 0x4000_e000;

// The file's own limit; each part has one, too.
t.setTimeout(2 * TIMEOUT_MS);

async function environmentOf(guest: VmGuest): Promise<GuestEnvironment> {
  const host = await guest.connect();
  return {
    host,
    bundleDirectory: "/run/gcs/c",
    rootfs: guest.rootfs,
    readStatus: (pid) => guest.output(host, `cat /proc/${pid}/status`),
  };
}

function fileOnScratch(guest: VmGuest, path: string): string {
  return execFileSync("debugfs", ["-R", `cat ${path}`, guest.scratchFile], { stdio: "pipe" }).toString();
}

/** Sends bytes through `cat` in a container, and takes what comes back. */
async function echoThroughContainer(host: RawHost, rootfs: string, bytes: Buffer): Promise<string> {
  const [StdIn, StdOut] = [0x40008000, 0x40008001];
  const hash = createHash("sha256");
  const ended = Promise.withResolvers<void>();
  await host.listen(StdIn, (stream) => stream.end(bytes));
  await host.listen(StdOut, (stream) => {
    stream.on("data", (chunk: Buffer) => hash.update(chunk));
    stream.on("end", () => {
      stream.end();
      ended.resolve();
    });
  });
  await host.request("Create", createBody("echo", "/run/gcs/c/echo", { rootfs, args: ["/bin/cat"] }));
  const parameters = { CreateStdInPipe: true, CreateStdOutPipe: true };
  const started = await host.request("ExecuteProcess", executeBody("echo", parameters, { StdIn, StdOut }));
  if (typeof started.ProcessId !== "number") throw new Error(JSON.stringify(started));
  await withDeadline(ended.promise, "the end of what cat sends back", 120_000);
  const exit = await host.request("WaitForProcess", {
    ContainerId: "echo",
    ProcessId: started.ProcessId,
    TimeoutInMs: 0xffffffff,
  });
  if (exit.ExitCode !== 0) throw new Error(JSON.stringify(exit));
  await host.request("DeleteContainerState", { ContainerId: "echo" });
  return hash.digest("hex");
}

await t.test("with runc", { timeout: TIMEOUT_MS }, async (t) => {
  const guest = await bootVm(t.testdir());
  t.teardown(() => guest.close());

  await t.test(
    "the command line is hcsshim's, and the entropy was taken",
    { timeout: TIMEOUT_MS },
    async (t) => {
      t.equal(await withDeadline(guest.entropy, "the guest's hang-up after its entropy"), 512);
      const host = await guest.connect();
      await host.negotiate();
      const commandLine = (await guest.output(host, "cat /proc/cmdline")).trim();
      t.match(commandLine, KERNEL_ARGUMENTS.join(" "));
      t.ok(
        commandLine.endsWith("-- -e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel debug"),
        commandLine,
      );
      t.match(
        await guest.output(host, "cat /sys/fs/cgroup/cgroup.controllers"),
        /cpu.*memory.*pids/,
        "cgroup v2",
      );
      t.notMatch(
        await guest.output(host, "ls /sys/module"),
        /vsock_loopback/,
        "with which a container could pose as the host",
      );
      await host.hangUp();
    },
  );

  await t.test("SIGUSR1 opens no inspector in the VM", { timeout: TIMEOUT_MS }, async (t) => {
    const host = await guest.connect();
    await host.negotiate();
    const script = `pid=$(pidof node); kill -USR1 $pid; grep -h SigBlk /proc/$pid/task/*/status; grep ShdPnd /proc/$pid/status; tail -n +2 /proc/net/tcp`;
    const told = (await guest.output(host, script)).trim().split("\n");
    const [pending = "", ...masks] = told.toReversed();
    t.match(pending, /^ShdPnd:\t0{13}200$/, "no thread has taken it, and nothing listens on a port");
    t.ok(masks.length > 1);
    for (const mask of masks) t.match(mask, /^SigBlk:\t\w{13}[2367abef]\w\w$/, "nor will it");
    await host.hangUp();
  });

  await t.test("the recorded conversation", { timeout: TIMEOUT_MS }, async (t) => {
    await replayTranscript(t, await environmentOf(guest));
  });

  await t.test("whatever a host should not send", { timeout: TIMEOUT_MS }, async (t) => {
    await sendBadInput(t, await environmentOf(guest));
  });

  await t.test("64 MiB through a container's stdin and back", { timeout: TIMEOUT_MS }, async (t) => {
    const host = await guest.connect();
    await host.negotiate();
    const bytes = randomBytes(64 * 1024 * 1024);
    const expected = createHash("sha256").update(bytes).digest("hex");
    t.equal(await echoThroughContainer(host, guest.rootfs, bytes), expected);
    await host.hangUp();
  });

  await t.test(
    "containers that take all memory do not take the agent",
    { timeout: TIMEOUT_MS },
    async (t) => {
      const host = await guest.connect();
      await host.negotiate();
      // tail keeps what it reads as long as there is no line's end: all of it.
      const args = ["/bin/sh", "-c", "tail /dev/zero"];
      t.equal(
        (await host.request("Create", createBody("m", "/run/gcs/c/m", { rootfs: guest.rootfs, args })))
          .Result,
        0,
      );
      const started = await host.request("ExecuteProcess", executeBody("m"));
      const score = await guest.output(
        host,
        `cat /proc/$PPID/oom_score_adj /proc/${started.ProcessId}/oom_score_adj`,
      );
      t.equal(score, "-999\n0\n", "the kernel looks at the container first");
      const wait = { ContainerId: "m", ProcessId: started.ProcessId, TimeoutInMs: 100_000 };
      host.send(requestTypeOf("WaitForProcess"), 2_000_000n, wait);
      const ended = await withDeadline(
        host.reply("WaitForProcess", 2_000_000n),
        "the end of the glutton",
        100_000,
      );
      t.equal(ended.body.ExitCode, 137, "killed");
      t.match(await guest.output(host, "cat /proc/$PPID/cgroup"), "0::/gcs\n");
      t.equal((await host.request("DeleteContainerState", { ContainerId: "m" })).Result, 0);
      await host.hangUp();
    },
  );

  await t.test("what a container tries against its VM", { timeout: TIMEOUT_MS }, async (t) => {
    const host = await guest.connect();
    await host.negotiate();
    await attackFromContainer(t, guest, host);
    await host.hangUp();
  });

  await t.test("a pod with a network", { timeout: TIMEOUT_MS }, async (t) => {
    const host = await guest.connect();
    await host.negotiate();
    await podInVm(t, guest, host);
    await host.hangUp();
  });

  await t.test("the log came as JSON lines", { timeout: TIMEOUT_MS }, async (t) => {
    const lines = guest.log().split("\n").slice(0, -1);
    t.ok(lines.length > 100, `${lines.length} lines`);
    for (const line of lines) {
      const { time, level, msg } = JSON.parse(line) as Record<string, unknown>;
      if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/.test(String(time)) || typeof msg !== "string")
        t.fail(line);
      if (!["trace", "debug", "info", "warning", "error", "fatal"].includes(String(level))) t.fail(line);
    }
    t.notMatch(guest.log(), /nobody caught|nobody looked/, "no defect showed");
  });

  await t.test(
    "a shutdown of the VM writes everything to its disks and powers off",
    { timeout: TIMEOUT_MS },
    async (t) => {
      const host = await guest.connect();
      await host.negotiate();
      const body = createBody("w", "/run/gcs/c/w", { rootfs: guest.rootfs, args: ["/bin/sleep", "1000"] });
      t.equal((await host.request("Create", body)).Result, 0);
      t.equal((await host.request("ExecuteProcess", executeBody("w"))).Result, 0);
      const write = execParameters(["/bin/sh", "-c", "echo kept > /root/kept"]);
      const wrote = await host.request("ExecuteProcess", executeBody("w", write));
      await host.request("WaitForProcess", {
        ContainerId: "w",
        ProcessId: wrote.ProcessId,
        TimeoutInMs: 30_000,
      });
      host.send(0x10100301, 9_000_000n, { ContainerId: UVM });
      const exit = await guest.vm.waitForExit({ timeoutMs: 30_000 });
      t.equal(exit.how, "shutdown", exit.error.message);
      t.equal(fileOnScratch(guest, "/upper/root/kept"), "kept\n");
    },
  );
});

await t.test("with crun", { timeout: TIMEOUT_MS }, async (t) => {
  const guest = await bootVm(t.testdir(), "crun");
  t.teardown(() => guest.close());
  const environment = await environmentOf(guest);
  await replayTranscript(t, environment);
  const host = await guest.connect();
  await host.negotiate();
  await attackFromContainer(t, guest, host);

  await t.test(
    "an agent that is killed takes the machine down in order, though nothing can be forked",
    { timeout: TIMEOUT_MS },
    async (t) => {
      await runSleeper(host, "k", "/run/gcs/c/k", guest.rootfs);
      const write = execParameters(["/bin/sh", "-c", "echo kept > /root/kept"]);
      const wrote = await host.request("ExecuteProcess", executeBody("k", write));
      await host.request("WaitForProcess", {
        ContainerId: "k",
        ProcessId: wrote.ProcessId,
        TimeoutInMs: 30_000,
      });
      let said = "";
      await host.listen(LAST_WORDS, (stream) => {
        stream
          .on("error", () => undefined)
          .on("data", (text: Buffer) => {
            said += text;
          });
      });
      const last = "echo last words; echo 20 > /proc/sys/kernel/threads-max; kill -KILL $PPID";
      const script = `GCS_TRANSPORT=forwarder:/run/vsock/host exec /bin/vsockexec -o ${LAST_WORDS} /bin/sh -c '${last}'`;
      const CommandArgs = ["/bin/sh", "-c", script];
      host.send(requestTypeOf("ExecuteProcess"), 9_000_000n, executeBody(UVM, { CommandArgs }));
      const exit = await guest.vm.waitForExit({ timeoutMs: 60_000 });
      t.equal(exit.how, "shutdown", exit.error.message);
      const console = guest.vm.consoleText;
      t.match(
        console,
        /init: command exited with status 137: killed by signal 9 \(Killed\); this machine ends/,
      );
      t.equal(said, "last words\n");
      t.notMatch(console, /vsock-forwarder: /, "the host has got all that was sent");
      t.equal(fileOnScratch(guest, "/upper/root/kept"), "kept\n");
      t.notMatch(
        execFileSync("dumpe2fs", ["-h", guest.scratchFile], { stdio: "pipe" }).toString(),
        /needs_recovery/,
        "the disk is clean",
      );
    },
  );
});
