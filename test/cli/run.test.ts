import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import tap, { test } from "tap";
import { copyRootfs } from "../helpers/rootfs.ts";
import { LCOW, Lcow, lcow, run } from "./lcow.ts";

tap.setTimeout(240_000);

const MEGABYTE = 1024 * 1024;

test("standard output, standard error and the exit status are the command's", async (t) => {
  t.match(await run(t, "--", "/bin/sh", "-c", "echo hi; echo no >&2; exit 7"), {
    status: 7,
    stdout: /^hi\n$/,
    stderr: /^no\n$/,
  });
  t.match(await run(t, "/bin/sh", "-c", "kill -9 $$; exit 3"), { status: 3 }, "process 1 cannot kill itself");
  t.match(await run(t, "/bin/sh", "-c", "sh -c 'kill -15 $$'; exit $?"), { status: 143 });
});

test("standard input passes byte for byte, and only with -i", async (t) => {
  const command = ["run", "--local", "-i", "--", "/bin/sha256sum"];
  const hash = createHash("sha256");
  const running = new Lcow(t, command);
  const block = Buffer.alloc(MEGABYTE);
  if (running.child.stdin === null) throw new Error("lcow has no stdin");
  await pipeline(async function* () {
    for (let count = 0; count < 100; count++) {
      crypto.getRandomValues(block.subarray(0, 65536));
      block.copyWithin(65536, 0, MEGABYTE - 65536);
      hash.update(block);
      yield Buffer.from(block);
    }
  }, running.child.stdin);
  t.match(await running.result(), { status: 0, stdout: `${hash.digest("hex")}  -\n`, stderr: /^$/ });
  t.match(await run(t, "--", "/bin/wc", "-c"), { status: 0, stdout: "0\n" });
});

test("100 MB of output arrive whole at a slow reader", async (t) => {
  const running = new Lcow(t, [
    "run",
    "--local",
    "--",
    "/bin/sh",
    "-c",
    "head -c 104857600 /dev/zero; echo end >&2",
  ]);
  const { child } = running;
  let bytes = 0;
  child.stdout?.removeAllListeners("data");
  for await (const chunk of child.stdout ?? []) bytes += (chunk as Buffer).length;
  t.equal(bytes, 100 * MEGABYTE);
  t.match(await running.result(), { status: 0, stderr: "end\n" });
});

test("a reader that has seen enough ends the command", async (t) => {
  const running = new Lcow(t, ["run", "--local", "--", "/bin/yes"]);
  await running.shows("y\n");
  running.child.stdout?.destroy();
  const { status } = await running.result();
  t.ok(status === 141 || status === 137, `status ${status} is that of SIGPIPE or SIGKILL`);
});

test("-e, -w, -u and the defaults are what the command sees", async (t) => {
  const show = "id -u; id -g; pwd; echo $A $B $C.; echo $PATH; hostname; echo $HOSTNAME; ulimit -Sn";
  process.env.B = "from the caller";
  const { stdout, status, stderr } = await run(
    t,
    "-e",
    "A=b=c",
    "-eB",
    "--env=LCOW_IS_NOT_SET",
    "-w",
    "/tmp",
    "-u",
    "nobody",
    "--",
    "/bin/sh",
    "-c",
    show,
  );
  t.equal(stderr, "");
  t.equal(status, 0);
  const lines = stdout.split("\n");
  t.same(lines.slice(0, 4), ["65534", "65534", "/tmp", "b=c from the caller ."]);
  t.match(lines[4], /^\/usr\/local\/sbin:.*:\/bin$/);
  t.equal(lines[5], lines[6]);
  t.equal(lines[7], "1024");
  t.match(await run(t, "-u", "12:34", "--", "/bin/sh", "-c", "id -u; id -g"), { stdout: "12\n34\n" });
  t.match(await run(t, "-u", "nonesuch", "--", "/bin/id"), {
    status: 125,
    stderr: /"nonesuch".*\/etc\/passwd/,
  });
});

test("the default root is read-only but for memory; nothing a container writes is there for the next", async (t) => {
  const write = "for d in / /etc /tmp /run /root /var; do echo x 2>/dev/null >$d/f && echo $d; done; ls /tmp";
  t.match(await run(t, "--", "/bin/sh", "-c", write), { stdout: "/tmp\n/run\n/root\n/var\nf\n" });
  t.match(await run(t, "--", "/bin/ls", "/tmp"), { status: 0, stdout: "" });
});

test("what is no directory is refused as --root; links in it lead nowhere outside", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "lcow-root-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const root = copyRootfs(join(directory, "root"));
  t.match(await run(t, "--root", join(directory, "nonesuch"), "--", "/bin/true"), {
    status: 2,
    stderr: /nonesuch: there is no such directory/,
  });

  rmSync(join(root, "etc/passwd"));
  writeFileSync(join(directory, "passwd"), "outsider:x:77:77::/:/bin/sh\n");
  symlinkSync(join(directory, "passwd"), join(root, "etc/passwd"));
  t.match(await run(t, "--root", root, "-u", "outsider", "--", "/bin/id"), { status: 125 });
  mkdirSync(join(directory, "outside"));
  symlinkSync(join(directory, "outside"), join(root, "link"));
  await run(t, "--root", root, "--read-write", "-w", "/link/made", "--", "/bin/true");
  t.notOk(existsSync(join(directory, "outside/made")));
});

test("--memory is enforced", async (t) => {
  const take = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null";
  t.match(await run(t, "--memory", "20m", "--", "/bin/sh", "-c", take), { status: 137 });
  t.match(await run(t, "--memory", "200m", "--", "/bin/sh", "-c", take), { status: 0 });
});

test("a command that cannot be started: 127 when it is not there, 126 when it cannot be executed", async (t) => {
  t.match(await run(t, "--", "nonesuch"), {
    status: 127,
    stderr: /nonesuch.*not found.*\[COMMAND_NOT_FOUND\]/,
  });
  t.match(await run(t, "--", "/bin/nonesuch"), { status: 127, stderr: /no such file/ });
  t.match(await run(t, "--", "/etc/passwd"), { status: 126, stderr: /permission denied/ });
  t.match(await run(t, "--", "/bin"), { status: 126 });
  t.match(await run(t, "--oci-runtime", "/bin/false", "--", "/bin/true"), {
    status: 125,
    stderr: /^lcow: .*\[[A-Z_]+\]\n$/s,
  });
});

test("--loglevel shows the agent's log; without it standard error is the command's alone", async (t) => {
  t.match(await run(t, "--loglevel", "info", "--", "/bin/echo", "hi"), {
    status: 0,
    stdout: "hi\n",
    stderr: /GCS started/,
  });
});

test("the default root is made once, by whoever comes first", async (t) => {
  const cache = mkdtempSync(join(tmpdir(), "lcow-cache-"));
  t.teardown(() => rmSync(cache, { recursive: true }));
  const once = () => lcow(t, ["run", "--local", "--", "/bin/echo", "hi"], { env: { XDG_CACHE_HOME: cache } });
  for (const result of await Promise.all([once(), once()]))
    t.match(result, { status: 0, stdout: "hi\n", stderr: "" });
});

test("output that cannot be written is no success", async (t) => {
  const full = openSync("/dev/full", "w");
  t.teardown(() => closeSync(full));
  const running = spawn(LCOW, ["run", "--local", "--", "/bin/echo", "lost"], {
    stdio: ["ignore", full, "pipe"],
  });
  const message = await text(running.stderr ?? process.stdin);
  t.match(message, /^lcow: standard output could not be written: ENOSPC/);
  t.equal(running.exitCode ?? (await once(running, "exit"))[0], 125);
});

test("without root it says so", async (t) => {
  // The project may lie in a directory that only root may enter, /root above all.
  const asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
  const andReads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
  const lcow = [LCOW, "run", "--local", "--", "/bin/true"];
  const running = spawn("setpriv", [...asNobody, ...andReads, ...lcow], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.match(await text(running.stderr ?? process.stdin), /need root.*\[NOT_SUPPORTED\]\n$/);
});

test("crun runs the same, and its words for a command that is not there are understood", async (t) => {
  // crun refuses a hybrid cgroup layout. In a mount namespace without the bare cgroup2 it is plain v1; the tmpfs is
  // for the directories that crun makes there all the same.
  const inV1 = (...args: string[]) => {
    const hide = "umount /sys/fs/cgroup/unified && mount -t tmpfs none /sys/fs/cgroup/unified";
    const script = `if [ -e /sys/fs/cgroup/unified/cgroup.procs ]; then ${hide}; fi; exec "$@"`;
    return outcome(
      spawn(
        "unshare",
        ["-m", "sh", "-c", script, "sh", LCOW, "run", "--local", "--oci-runtime", "crun", ...args],
        {},
      ),
    );
  };
  t.match(await inV1("--", "/bin/sh", "-c", "echo hi; echo no >&2; exit 7"), {
    status: 7,
    stdout: "hi\n",
    stderr: "no\n",
  });
  t.match(await inV1("--", "nonesuch"), { status: 127, stderr: /not found/ });
  t.match(await inV1("--", "/etc/passwd"), { status: 126, stderr: /Permission denied|not executable/ });
});

async function outcome(child: ChildProcessWithoutNullStreams) {
  const ended = once(child, "close");
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = await ended;
  return { status, stdout, stderr };
}
