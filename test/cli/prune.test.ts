/** `lcow prune`: what it removes, and what it leaves to those who use it. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tap, { type Test, test } from "tap";
import { leaseLayerImage } from "../../src/hcs/uvm/layers/layer-image.ts";
import { agentsOf, footprintOf, leftovers, leftoversAfter } from "../helpers/leftovers.ts";
import { copyRootfs } from "../helpers/rootfs.ts";
import { Lcow, lcow } from "./lcow.ts";

tap.setTimeout(240_000);

/** Everything of the test's own, here and in the commands it runs. */
function ownDirectories(t: Test): { cache: string; env: NodeJS.ProcessEnv } {
  const cache = mkdtempSync(join(tmpdir(), "lcow-prune-"));
  t.teardown(() => rmSync(cache, { recursive: true, force: true }));
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = cache;
  t.teardown(() => {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  });
  // The project's own compiled code is of use to the tests that run now.
  return { cache, env: { XDG_CACHE_HOME: cache, NODE_COMPILE_CACHE: join(cache, "compiled") } };
}

test("images that nobody uses go, and the default root with --all; what is in use stays", async (t) => {
  const { cache, env } = ownDirectories(t);
  const prune = (...args: string[]) => lcow(t, ["prune", ...args], { env });
  const root = copyRootfs(join(cache, "root"));
  const unused = await leaseLayerImage(root);
  unused.release();
  const used = await leaseLayerImage(join(root, "etc"));
  const running = new Lcow(t, ["run", "--local", "-i", "--", "/bin/sh"], { env });
  running.child.stdin?.write("echo ready\n");
  await running.shows("ready");
  const roots = () => readdirSync(join(cache, "lcow-gcs/roots"));
  t.equal(roots().length, 1);

  const dry = await prune("--dry-run", "--all");
  t.match(dry, { status: 0, stderr: "" });
  t.match(dry.stdout, `${unused.path}: image of a directory, `);
  t.match(dry.stdout, /\nwould free \d+\.\d MiB\n$/);
  t.notMatch(dry.stdout, used.path);
  t.notMatch(dry.stdout, "/roots/");
  t.ok(existsSync(unused.path));

  t.match(await prune("--all"), { status: 0, stdout: /\nfreed \d+\.\d MiB\n$/, stderr: "" });
  t.same([existsSync(unused.path), existsSync(used.path), roots().length], [false, true, 1]);
  running.child.stdin?.end("/bin/ls /bin/busybox; exit 3\n");
  t.match(await running.result(), { status: 3, stdout: "ready\n/bin/busybox\n" });

  used.release();
  t.match(await prune(), { status: 0, stdout: new RegExp(`^${used.path}: [^\n]*\nfreed`) });
  t.equal(roots().length, 1, "the default root is of use to the next run");
  t.match(await prune("-a"), { status: 0, stdout: /roots\/busybox-root[^\n]*: default root, / });
  t.same(roots(), []);
  t.match(await prune(), { status: 0, stdout: "freed 0 B\n", stderr: "" });
  t.match(await lcow(t, ["run", "--local", "--", "/bin/true"], { env }), { status: 0 });
  t.match(await prune("everything"), { status: 2, stderr: /prune: unexpected/ });
});

test("what a command and its agent leave behind when both are killed", async (t) => {
  const { env } = ownDirectories(t);
  const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", "echo ready; exec sleep 1000"], {
    env,
  });
  await running.shows("ready");
  const footprint = await footprintOf(running.pid);
  const [agent] = footprint.processes;
  // First the one that would clean up after the other; neither can begin to meanwhile.
  process.kill(running.pid, "SIGSTOP");
  process.kill(Number.parseInt(agent ?? "", 10), "SIGKILL");
  running.child.kill("SIGKILL");
  await running.result();
  t.same(agentsOf(running.pid), []);
  t.ok(leftovers(footprint).length >= 4, "they do leave something");
  const pruned = await lcow(t, ["prune"], { env });
  t.match(pruned, { status: 0, stderr: "" });
  t.match(pruned.stdout, `${footprint.directory}: left by a killed agent`);
  t.same(await leftoversAfter(footprint), []);
});

test("prune and run at once: every command runs, on a whole root", async (t) => {
  const { env } = ownDirectories(t);
  let isDone = false;
  const pruning = (async () => {
    while (!isDone) t.match(await lcow(t, ["prune", "--all"], { env }), { status: 0, stderr: "" });
  })();
  for (let round = 0; round < 3; round++) {
    const run = () => lcow(t, ["run", "--local", "--", "/bin/ls", "/bin/busybox"], { env });
    for (const result of await Promise.all([run(), run()])) {
      t.match(result, { status: 0, stdout: "/bin/busybox\n", stderr: "" });
    }
  }
  isDone = true;
  await pruning;
});
