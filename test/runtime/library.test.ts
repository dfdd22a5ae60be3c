import { execFile } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import tap, { test } from "tap";
import { OciRuntime, Supervisor, standardStreams } from "../../src/runtime/index.ts";
import { RuntimeContext, warmUp } from "./suite/context.ts";

const supervisor = new Supervisor();
tap.teardown(() => supervisor.close());

test("the example of a program with containers does what it says", async (t) => {
  const file = new URL("../../examples/runtime.ts", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 60_000 });
  const lines = stdout.split("\n");
  t.equal(lines[0], "exec: Linux 0");
  t.match(lines[1], /^\d+ \/bin\/busybox cat$/);
  t.same(lines.slice(2), ["memory: used", "typed while it was paused 0", "exists: false 0", ""]);
  t.ok(readFileSync(file, "utf8").split("\n").length < 60, "it stays short");
});

test("streams of a program: bytes both ways, an early end on either side, nothing left", async (t) => {
  await warmUp("runc", supervisor);
  const context = new RuntimeContext("runc", supervisor);
  t.type(context.runtime, OciRuntime);
  const container = await context.create("streams", {
    args: ["/bin/sh", "-c", "cat >&2; echo done; exit 3"],
  });
  const streams = standardStreams();
  await container.start(streams.stdio);
  const megabyte = "x".repeat(1024 * 1024);
  streams.stdin.end(megabyte);
  t.same(await Promise.all([text(streams.stdout), text(streams.stderr)]), ["done\n", megabyte]);
  t.equal(await container.getInitProcess().wait(), 3);
  await container.delete();

  const shell = await context.create("shell", {
    args: ["/bin/sh", "-c", "trap 'exit 5' TERM; echo up; cat"],
  });
  const attached = standardStreams();
  await shell.start(attached.stdio);
  await once(attached.stdout, "data");
  const closing = standardStreams();
  const exec = await shell.execProcess(
    { cwd: "/", args: ["/bin/sh", "-c", "exec <&-; sleep 0.1; echo 1"] },
    closing.stdio,
  );
  closing.stdin.write("for nobody");
  t.equal(
    await text(closing.stdout),
    "1\n",
    "a standard input that the process closed takes no output with it",
  );
  t.equal(await exec.wait(), 0);
  await exec.delete();
  closing.close();
  const all = await shell.getAllProcesses();
  t.same(
    all.map(({ command }) => command.join(" ")),
    ["/bin/sh -c trap 'exit 5' TERM; echo up; cat", "cat"],
  );
  t.same(
    all.map(({ createdByRuntime }) => createdByRuntime),
    [true, false],
  );
  attached.close();
  t.equal(await shell.getInitProcess().wait(), 0, "the program's end is the end of file");
  t.equal(await shell.exists(), true);
  await shell.delete();
  t.equal(await shell.exists(), false);
  await context.close(t);
});

test("streams that are handed to nobody can be given up", (t) => {
  const before = readdirSync("/proc/self/fd").length;
  const streams = standardStreams();
  t.equal(readdirSync("/proc/self/fd").length, before + 6);
  streams.close();
  streams.close();
  setImmediate(() => {
    t.equal(readdirSync("/proc/self/fd").length, before);
    t.end();
  });
});
