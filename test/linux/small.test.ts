import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, symlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "tap";
import { isSystemError } from "../../src/common/system-error.ts";
import { isZombie, parseProcessStatus, readCommandLine, readProcessStatus } from "../../src/linux/proc.ts";
import { removeFile, removeFlatDirectory } from "../../src/linux/remove.ts";

test("the status of a process is parsed, whatever its name", (t) => {
  const text = `42 (a) R (b ) Z 7 1 1 0 -1 4194560 ${Array.from({ length: 12 }, (_, index) => index).join(" ")} 373896 0`;
  t.same(parseProcessStatus(text), { state: "Z", parentPid: 7, startTime: 373896 });
  t.equal(parseProcessStatus(""), undefined);
  const own = readProcessStatus(process.pid);
  t.equal(own?.parentPid, process.ppid);
  t.ok(["R", "S"].includes(own?.state ?? ""));
  t.equal(readProcessStatus(2 ** 30), undefined);
  t.end();
});

test("command lines keep their arguments apart", async (t) => {
  const child = spawn("sleep", ["1000"], { argv0: "" });
  await once(child, "spawn");
  t.same(await readCommandLine(child.pid ?? 0), ["", "1000"]);
  const exit = once(child, "exit");
  child.kill();
  await exit;
  t.equal(await readCommandLine(child.pid ?? 0), undefined);
  t.equal(isZombie(child.pid ?? 0), false);
  t.equal(
    (await readCommandLine(process.pid))?.[0],
    readFileSync("/proc/self/cmdline", "utf8").split("\0")[0],
  );
  // In the place of a kernel thread, of which a process namespace shows none: what is dead has no memory, either.
  const parent = spawn("sh", ["-c", "sleep 0.1 & echo $!; exec sleep 1000"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.teardown(() => parent.kill());
  const dead = Number((await once(parent.stdout, "data"))[0]);
  while (!isZombie(dead)) await sleep(1);
  t.same(await readCommandLine(dead), [], "a process without memory has none");
});

test("a directory of files is removed, and nothing beyond it", (t) => {
  const root = t.testdir({
    flat: { one: "1", two: "2" },
    outside: { kept: "k" },
    deep: { inner: { kept: "k" } },
  });
  symlinkSync(`${root}/outside`, `${root}/flat/link`);
  removeFlatDirectory(`${root}/flat`);
  t.same(readdirSync(root).sort(), ["deep", "outside"]);
  t.same(readdirSync(`${root}/outside`), ["kept"]);
  t.throws(() => removeFlatDirectory(`${root}/deep`));
  t.same(readdirSync(`${root}/deep/inner`), ["kept"]);
  removeFlatDirectory(`${root}/flat`);
  removeFile(`${root}/flat/one`);
  removeFile(`${root}/outside/kept`);
  t.same(readdirSync(`${root}/outside`), []);
  t.end();
});

test("system errors are told by their code", (t) => {
  let error: unknown;
  try {
    readFileSync("/proc/none");
  } catch (thrown) {
    error = thrown;
  }
  t.equal(isSystemError(error, "ENOENT"), true);
  t.equal(isSystemError(error), true);
  t.equal(isSystemError(error, "EPERM"), false);
  t.equal(isSystemError(new Error("ENOENT"), "ENOENT"), false);
  t.equal(isSystemError("ENOENT", "ENOENT"), false);
  t.end();
});
