/** Mounts where somebody else can write. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import t, { type Test } from "tap";
import { makeRemovableDirectories } from "../../src/linux/directories.ts";
import { mount } from "../../src/storage/mount.ts";
import { mountOverlay } from "../../src/storage/overlay.ts";

const openFds = () => readdirSync("/proc/self/fd").length;
const mounts = (below: string) =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${below}/`));
const tmpfs = (target: string) => ({ source: "none", target, type: "tmpfs", options: ["size=64k"] });

/** A directory in place of a container's root, and one outside it that nothing may touch. */
function world(t: Test) {
  const directory = t.testdir({ root: {}, outside: { kept: "k" } });
  return { root: `${directory}/root`, outside: `${directory}/outside` };
}

await t.test("a link anywhere in a target is not followed, and is named", async (t) => {
  const { root, outside } = world(t);
  const fds = openFds();
  symlinkSync(outside, `${root}/link`);
  symlinkSync(`${outside}/absent`, `${root}/dangling`);
  for (const target of [`${root}/link`, `${root}/link/below`, `${root}/dangling`, `${root}/dangling/below`])
    await t.rejects(mount(tmpfs(target)), { code: "SYSTEM_CALL_FAILED", message: /symbolic link/ }, target);
  writeFileSync(`${root}/file`, "");
  await t.rejects(mount(tmpfs(`${root}/file/x`)), { message: /file" is no directory/ });
  t.same(readdirSync(outside), ["kept"]);
  t.equal(openFds(), fds);
});

await t.test("what is made for a mount is taken away again, and nothing else", async (t) => {
  const { root, outside } = world(t);
  const fds = openFds();
  const mounted = await mount(tmpfs(`${root}/a/b/c`));
  t.same(mounts(root), [`${root}/a/b/c`]);
  writeFileSync(`${root}/a/theirs`, "");
  await mounted.unmount();
  await mounted.unmount();
  t.same(mounts(root), [], "nothing stays mounted");
  t.same(readdirSync(`${root}/a`), ["theirs"]);
  t.same(readdirSync(outside), ["kept"]);
  t.equal(openFds(), fds);
});

await t.test(
  "a path that is swapped meanwhile leads neither the unmount nor the removal astray",
  async (t) => {
    const { root, outside } = world(t);
    mkdirSync(`${outside}/b`);
    const mounted = await mount(tmpfs(`${root}/a/b`));
    renameSync(`${root}/a`, `${root}/moved`);
    symlinkSync(outside, `${root}/a`);
    await mounted.unmount();
    t.same(mounts(root), [], "it was found by its descriptor");
    t.same(readdirSync(outside).sort(), ["b", "kept"]);
    t.ok(existsSync(`${root}/moved/b`), "what is no longer where it was made stays");
  },
);

await t.test("a directory that took the place of one that was made is not removed", async (t) => {
  const { root } = world(t);
  const made = await makeRemovableDirectories(`${root}/x/y`, 0o755);
  rmSync(`${root}/x`, { recursive: true });
  mkdirSync(`${root}/x/y`, { recursive: true });
  await made.remove();
  t.same(readdirSync(`${root}/x`), ["y"]);
});

await t.test("a path that cannot be made is an error at once", async (t) => {
  for (const path of ["/proc/none/x", "/sys/none/x/y", "/proc/self/fd/none/x", "/dev/null/x"])
    await t.rejects(makeRemovableDirectories(path, 0o755), { code: "SYSTEM_CALL_FAILED" }, path);
});

await t.test("a failed mount leaves nothing", async (t) => {
  const { root } = world(t);
  const fds = openFds();
  await t.rejects(mount({ ...tmpfs(`${root}/a/b`), type: "nosuchfs" }), { code: "MOUNT_FAILED" });
  await t.rejects(
    mountOverlay({ target: `${root}/u`, layers: [`${root}/absent`, `${root}/none`], scratch: undefined }),
    {
      code: "MOUNT_FAILED",
    },
  );
  t.same(readdirSync(root), []);
  t.same(mounts(root), []);
  t.equal(openFds(), fds);
});

await t.test("options that the kernel would cut are refused, not mounted as something else", async (t) => {
  const { root } = world(t);
  for (const name of ["a", "b"]) mkdirSync(`${root}/${name}`);
  const fds = openFds();
  const long = { source: "overlay", target: `${root}/union`, type: "overlay" };
  const lower = (count: number) => `lowerdir=${Array.from({ length: count }, () => `${root}/a`).join(":")}`;
  await t.rejects(mount({ ...long, options: [lower(300)] }), {
    code: "INVALID_ARGUMENT",
    message: /the options of the mount on .*union are \d{5,} bytes; the kernel takes 4095 at most/,
  });
  for (const request of [
    { ...tmpfs(`${root}/x`), options: ["size=64k\0,mode=777"] },
    { ...tmpfs(`${root}/x`), source: "no\0ne" },
    { ...tmpfs(`${root}/x`), type: "tmpfs\0" },
  ])
    await t.rejects(mount(request), { code: "INVALID_ARGUMENT", message: /has a NUL character/ });
  t.same([readdirSync(root).toSorted(), mounts(root), openFds()], [["a", "b"], [], fds]);
});
