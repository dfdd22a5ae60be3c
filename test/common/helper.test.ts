import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "tap";
import { runHelper, runHelperForBytes } from "../../src/common/helper.ts";
import { readProcessStatus } from "../../src/linux/proc.ts";

test("output, input, environment and directory", async (t) => {
  const script = "cat; pwd; echo $GIVEN-$HOME; echo warning >&2";
  const result = await runHelper("sh", ["-c", script], {
    input: "from stdin\n",
    cwd: "/tmp",
    env: { GIVEN: "x", PATH: "/bin:/usr/bin" },
  });
  t.same(result, { exitCode: 0, stdout: "from stdin\n/tmp\nx-\n", stderr: "warning\n" });
});

test("a command without input has none", async (t) => {
  t.equal((await runHelper("cat", [])).stdout, "");
});

test("a failure tells the program, the code and its last words, and no secret", async (t) => {
  const script = "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3";
  const attempt = runHelper("sh", ["-c", script, "--password=hunter2"], {
    env: { SECRET: "hunter2" },
    input: "hunter2",
  });
  await t.rejects(attempt, {
    code: "HELPER_FAILED",
    message: "sh failed with exit code 3: line 3\nline 4\nline 5\nline 6\nline 7",
  });
  await t.rejects(runHelper("sh", ["-c", "kill -9 $$"]), { code: "HELPER_FAILED", message: /SIGKILL/ });
  t.equal((await runHelper("sh", ["-c", "exit 3"], { acceptedExitCodes: [0, 3] })).exitCode, 3);
});

test("a program that is not there", async (t) => {
  const attempt = runHelper("nonesuch-program", ["--password=hunter2"]);
  await t.rejects(attempt, { code: "SPAWN_FAILED", message: /nonesuch-program/ });
  const error = await attempt.catch((thrown: unknown) => thrown);
  t.notMatch(String((error as Error).cause), /hunter2/);
});

test("the deadline ends the command and its children", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/command-`);
  const script = `sleep 1000 & echo $! > ${directory}/child; wait`;
  await t.rejects(runHelper("sh", ["-c", script], { deadlineMs: 300 }), {
    code: "HELPER_TIMEOUT",
    message: "sh was not done within 300 ms and was killed",
  });
  const child = Number(readFileSync(`${directory}/child`, "utf8"));
  // A moment after the signal; bounded by the test's own time-out.
  while (![undefined, "Z"].includes(readProcessStatus(child)?.state)) await delay(5);
  rmSync(directory, { recursive: true });
});

test("a process outside the group that keeps stdout open does not keep us", async (t) => {
  const attempt = runHelper("sh", ["-c", "setsid sleep 3 & exec sleep 1000"], { deadlineMs: 300 });
  await t.rejects(attempt, { code: "HELPER_TIMEOUT" });
});

test("output is bounded", async (t) => {
  const attempt = runHelper("sh", ["-c", "while :; do echo 0123456789; done"], { maximumOutput: 10_000 });
  await t.rejects(attempt, { code: "HELPER_FAILED", message: /more output/ });
});

test("output that is no text, and an environment with more and with less", async (t) => {
  const script = "printf '\\377\\000\\n'; echo $ADDED-$TAKEN";
  const result = await runHelperForBytes("sh", ["-c", script], {
    env: { PATH: "/bin:/usr/bin", TAKEN: "no" },
    addedEnv: { ADDED: "yes", TAKEN: undefined },
  });
  t.same(result, { exitCode: 0, stdout: Buffer.from("\xff\0\nyes-\n", "latin1"), stderr: "" });
});

test("a caller who gives up ends the command", async (t) => {
  await t.rejects(runHelper("sleep", ["1000"], { signal: AbortSignal.abort() }), { code: "ABORTED" });
  const stop = new AbortController();
  const attempt = runHelper("sh", ["-c", "kill -USR2 $PPID; exec sleep 1000"], { signal: stop.signal });
  process.once("SIGUSR2", () => stop.abort());
  await t.rejects(attempt, { code: "ABORTED", message: "sh was aborted" });
});

test("a failure tells its remedy", async (t) => {
  const remedy = "install the Debian package false";
  await t.rejects(runHelper("false", [], { remedy }), {
    message: `false failed with exit code 1; ${remedy}`,
  });
  await t.rejects(runHelper("nonesuch-program", [], { remedy }), {
    message: `cannot start nonesuch-program; ${remedy}`,
  });
});
