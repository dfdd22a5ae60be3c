/** Files that options name, where they are no plain ones. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import tap, { test } from "tap";
import { readText } from "../../src/cli/options/text-file.ts";
import { LCOW, lcow } from "./lcow.ts";

tap.setTimeout(120_000);

test("a file that is a pipe is read to its end, and waited for within bounds", async (t) => {
  const directory = t.testdir();
  const fifo = `${directory}/fifo`;
  execFileSync("mkfifo", [fifo]);
  const options = { what: "--env-file it", largest: 1024 ** 2, patience: { writerMs: 300, wholeMs: 1500 } };
  t.throws(() => readText(fifo, options), {
    message: "--env-file it cannot be read: nobody has opened it for writing within 0.3 seconds",
  });
  const write = (script: string) => {
    const writer = spawn("/bin/sh", ["-c", `exec >"$0"; ${script}`, fifo]);
    t.teardown(() => void writer.kill("SIGKILL"));
    return writer;
  };
  // It has opened the FIFO, or waits in the open, when this reads.
  const patient = { ...options, patience: { writerMs: 20_000, wholeMs: 20_000 } };
  write("echo A=1");
  t.equal(readText(fifo, patient), "A=1\n");
  write("echo A=1; sleep 0.5; echo B=2; sleep 0.5; echo C=3");
  t.equal(readText(fifo, patient), "A=1\nB=2\nC=3\n");
  write("echo A=1; exec sleep 1000");
  t.throws(() => readText(fifo, options), {
    message: "--env-file it cannot be read: it has not ended within 1.5 seconds",
  });
  write("exec yes");
  t.throws(() => readText(fifo, options), { message: /is larger than 1 MiB/ });
});

test("a shell's <(...) is read, and a FIFO that nobody writes to is not waited for without end", async (t) => {
  const fifo = `${t.testdir()}/fifo`;
  execFileSync("mkfifo", [fifo]);
  const shell = (line: string) => {
    const script = `lcow() { ${LCOW} "$@"; }; ${line}`;
    return spawnSync("bash", ["-c", script], { encoding: "utf8", timeout: 60_000 });
  };
  t.match(shell("lcow run --local --env-file <(sleep 0.5; echo A=1; echo B=2) -- /bin/sh -c 'echo $A$B'"), {
    status: 0,
    stdout: "12\n",
    stderr: "",
  });
  t.match(shell(`lcow run --local --env-file ${fifo} -- /bin/true`), {
    status: 2,
    stdout: "",
    stderr: /^lcow: --env-file \S+ cannot be read: nobody has opened it for writing within 10 seconds\n/,
  });
  t.match(
    shell(
      `echo '{"defaultAction":"SCMP_ACT_ALLOW"}' | lcow run --local --security-opt seccomp=/dev/stdin /bin/true`,
    ),
    {
      status: 0,
      stderr: "",
    },
  );
});

test("a console that cannot be written is told as such, without a hint at what the kernel printed", async (t) => {
  const fifo = `${t.testdir()}/fifo`;
  execFileSync("mkfifo", [fifo]);
  t.match(await lcow(t, ["run", "--console", fifo, "--", "/bin/true"]), {
    status: 125,
    stderr: /^lcow: the console's file \S+ cannot be written: ENXIO[^\n]*\[INVALID_ARGUMENT\]\n$/,
  });
});
