import { copyFileSync, readdirSync, readFileSync, readlinkSync, readSync, realpathSync } from "node:fs";
import { test } from "tap";
import {
  closeFd,
  openPty,
  pidfdOpen,
  pidfdSendSignal,
  pipe,
  reapOrphan,
  Socket,
  type SpawnOptions,
  socketPair,
  spawn,
  waitPidfd,
} from "../../../native/hvsock/index.ts";
import {
  countFds,
  countThreads,
  eventually,
  exitOf,
  leaseOn,
  receiveText,
  shell,
  temporaryDirectory,
} from "./support.ts";

/** Runs a program to its end and gives what it wrote to stdout. */
async function outputOf(
  options: Omit<SpawnOptions, "stdio">,
): Promise<{ text: string; code: number | null }> {
  const [here, there] = socketPair();
  const child = await spawn({ ...options, stdio: [null, there, there] });
  closeFd(there);
  const text = await receiveText(here);
  return { text, code: (await exitOf(child)).code };
}

test("exit codes and signals come back as they were", async (t) => {
  t.same(await exitOf(await shell("exit 7", [null, null, null])), { code: 7, signal: null });
  t.same(await exitOf(await shell("kill -TERM $$", [null, null, null])), { code: null, signal: 15 });
  t.same(await exitOf(await spawn({ path: "true" })), { code: 0, signal: null }, "found in PATH");
});

test("the child gets its arguments, environment and directory, and nothing else", async (t) => {
  const directory = realpathSync(temporaryDirectory(t));
  const script = 'pwd; echo "$0 $1 $ONLY"; env | sort; ls -l /proc/self/fd | grep -c ^l';
  const { text } = await outputOf({
    path: "/bin/sh",
    args: ["name", "-c", script, "zero", "one"],
    env: { ONLY: "this", PATH: "/usr/bin:/bin", UNSET: undefined },
    cwd: directory,
  });
  const [where, words, ...rest] = text.trimEnd().split("\n");
  t.equal(where, directory);
  t.equal(words, "zero one this");
  t.same(rest.slice(0, -1), ["ONLY=this", "PATH=/usr/bin:/bin", `PWD=${directory}`]);
  // ls itself opens the directory it lists.
  t.equal(rest.at(-1), "4", "three fds and no more");
});

test("the program is searched in the child's PATH, as execvp does", async (t) => {
  t.same(await outputOf({ path: "sh", args: ["sh", "-c", "echo found"], env: ["PATH=/nowhere:/bin"] }), {
    text: "found\n",
    code: 0,
  });
  const missing = await spawn({ path: "sh", env: ["PATH=/nowhere:/also-nowhere"] }).catch((error) => error);
  t.match(missing, { code: "SPAWN_FAILED", cause: { code: "ENOENT", syscall: "execve" } });
});

test("the child's limit of open files is not what Node raised ours to", async (t) => {
  const limits = await outputOf({ path: "sh", args: ["sh", "-c", "ulimit -Sn; ulimit -Hn"] });
  const [soft, hard] = limits.text.trim().split("\n").map(Number);
  const own = readFileSync("/proc/self/limits", "utf8").match(/^Max open files +(\d+) +(\d+)/m);
  t.equal(soft, 1024);
  t.equal(hard, Number(own?.[2]));
  t.ok(Number(own?.[1]) > 1024, "Node has raised its own");
});

function holdsPidfd(): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[pidfd]";
    } catch {
      return false; // that of the listing itself
    }
  });
}

test("a start that hangs before its program runs holds up no other, and is given up in time", async (t) => {
  await exitOf(await spawn({ path: "/bin/true" }));
  const threads = countThreads();
  const program = `${temporaryDirectory(t)}/true`;
  copyFileSync("/bin/true", program);
  const lease = await leaseOn(t, program);
  let hasStarted = false;
  const slow = spawn({ path: program, isRuntime: true }).finally(() => {
    hasStarted = true;
  });
  const late = spawn({ path: program, timeoutMs: 1 });
  const seen = { code: "SPAWN_FAILED", cause: { code: "TIMEOUT", message: /1 ms.*file system/ } };
  await t.rejects(late, seen, "the default is 30 s");
  const others = [{ isRuntime: true }, {}, { isRuntime: true }, {}].map(async (kind) =>
    exitOf(await spawn({ path: "/bin/true", ...kind })),
  );
  t.same(await Promise.all(others), Array(4).fill({ code: 0, signal: null }));
  t.equal(hasStarted, false, "while it hangs");
  await lease.release();
  t.same(await exitOf(await slow), { code: 0, signal: null }, "once the file system answers, it runs");
  await eventually("the one that was given up is buried", () => !holdsPidfd());
  t.ok(countThreads() <= threads + 2, "threads are kept for the next, not made anew each time");
  const children = readdirSync("/proc/self/task").map((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "utf8").trim(),
  );
  t.equal(children.join(""), "", "no child is left, dead or alive");
});

test("signals are at their defaults and unblocked in the child", async (t) => {
  const { text } = await outputOf({
    path: "cat",
    args: ["cat", "/proc/self/status"],
  });
  t.same(
    text
      .trimEnd()
      .split("\n")
      .filter((line) => /^Sig(Blk|Ign|Cgt)/.test(line))
      .map((line) => line.split(/\s+/)[1]),
    ["0000000000000000", "0000000000000000", "0000000000000000"],
    "Node itself ignores SIGPIPE, its children do not",
  );
});

test("a session with a controlling terminal", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const [here, there] = socketPair();
  const child = await spawn({
    path: "/bin/sh",
    args: ["sh", "-c", 'echo hello >/dev/tty && echo "$(cut -d" " -f6 /proc/$$/stat) $$" >&2'],
    stdio: [slaveFd, slaveFd, there],
    newSession: true,
    controllingTerminal: true,
  });
  closeFd(slaveFd);
  closeFd(there);
  const [session, pid] = (await receiveText(here)).trim().split(" ");
  t.equal(session, pid, "it leads a session");
  const bytes = Buffer.alloc(64);
  t.equal(bytes.toString("utf8", 0, readSync(masterFd, bytes)), "hello\r\n", "/dev/tty is that terminal");
  await exitOf(child);
  closeFd(masterFd);
});

test("a failed start says which step failed, and leaves neither fd nor process", async (t) => {
  await shell("true", [null, null, null]).then(exitOf);
  const before = countFds();
  const { readFd, writeFd } = pipe();
  const failures: [Omit<SpawnOptions, "path"> & { path?: string }, string, string][] = [
    [{ path: "/proc/none" }, "ENOENT", "execve"],
    [{ path: "/etc/passwd" }, "EACCES", "execve"],
    [{ cwd: "/proc/none" }, "ENOENT", "chdir"],
    [{ newSession: true, controllingTerminal: true }, "ENOTTY", "ioctl(TIOCSCTTY)"],
    [{ stdio: [999_999, null, null] }, "EBADF", "fcntl(F_DUPFD_CLOEXEC)"],
  ];
  for (const [options, code, syscall] of failures) {
    for (let i = 0; i < 20; i++) {
      const failure = await spawn({ path: "/bin/true", ...options }).catch((error) => error);
      if (i === 0) t.match(failure, { code: "SPAWN_FAILED", cause: { code, syscall } }, syscall);
    }
  }
  await t.rejects(
    spawn({ path: "/bin/true", args: ["a\0b"] }),
    { code: "SPAWN_FAILED" },
    "NUL in an argument",
  );
  closeFd(readFd);
  closeFd(writeFd);
  t.equal(countFds(), before);
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim();
  t.equal(children, "", "no child is left, dead or alive");
});

test("an fd of the parent's own stdio can be given, crosswise too", async (t) => {
  const [here, there] = socketPair();
  const child = await shell("exec sleep 1000 <&0 >&2", [0, 1, there]);
  closeFd(there);
  t.equal(pidfdSendSignal(child.pidfd, 9), true);
  t.same((await exitOf(child)).signal, 9);
  await receiveText(here);
});

test("a signal reaches the living and reports the dead, reaped or not", async (t) => {
  const child = await shell("exec sleep 1000", [null, null, null]);
  t.equal(pidfdSendSignal(child.pidfd, 0), true);
  const exit = waitPidfd(child.pidfd, { keepsLoopAlive: true });
  t.equal(pidfdSendSignal(child.pidfd, 9), true);
  t.same(await exit, { code: null, signal: 9 });
  t.equal(pidfdSendSignal(child.pidfd, 9), false);
  t.throws(() => pidfdOpen(child.pid), { code: "ESRCH" });
  t.same(
    await waitPidfd(child.pidfd, { keepsLoopAlive: true }),
    { code: null, signal: null },
    "reaped by the first",
  );
  closeFd(child.pidfd);
  const zombie = await shell("exit 3", [null, null, null]);
  await eventually("it is a zombie", () => readFileSync(`/proc/${zombie.pid}/stat`, "utf8").includes(") Z"));
  t.equal(pidfdSendSignal(zombie.pidfd, 9), false, "a zombie is dead");
  t.same(
    reapOrphan(zombie.pid),
    { state: "not-a-child" },
    "nor an orphan, whose code another reaper may take",
  );
  t.same(await exitOf(zombie), { code: 3, signal: null });
});

test("the end of a process that is not our child is seen, its code is not", async (t) => {
  const [here, there] = socketPair();
  const parent = await shell("sleep 1000 & echo $!; wait", [null, there, null]);
  closeFd(there);
  const socket = new Socket(here);
  const pid = await new Promise<number>((resolve) => {
    socket.onData = (bytes) => resolve(Number.parseInt(bytes.toString(), 10));
    socket.resume();
  });
  const pidfd = pidfdOpen(pid);
  const exit = waitPidfd(pidfd, { keepsLoopAlive: true });
  t.equal(reapOrphan(pid).state, "not-a-child");
  pidfdSendSignal(pidfd, 9);
  t.same(await exit, { code: null, signal: null });
  closeFd(pidfd);
  socket.close();
  await exitOf(parent);
});

test("a hundred at once, each with its own code; the event loop goes on meanwhile", async (t) => {
  const before = countFds();
  let ticks = 0;
  const ticking = setInterval(() => ticks++, 1);
  const codes = await Promise.all(
    Array.from(
      { length: 100 },
      async (_, i) => (await exitOf(await shell(`exit ${i}`, [null, null, null]))).code,
    ),
  );
  clearInterval(ticking);
  t.same(
    codes,
    Array.from({ length: 100 }, (_, i) => i),
  );
  t.ok(ticks > 0, "timers fired");
  t.equal(countFds(), before);
});

test("a thousand processes leave no fd behind", async (t) => {
  const before = countFds();
  for (let i = 0; i < 1000; i++) {
    const { readFd, writeFd } = pipe();
    const child = await spawn({ path: "/bin/true", stdio: [readFd, writeFd, null] });
    closeFd(readFd);
    closeFd(writeFd);
    await exitOf(child);
  }
  t.equal(countFds(), before);
});
