import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "tap";
import { errnoName, mount, sync, unmount } from "../../src/linux/libc.ts";

test("a failed call names itself, its argument and the errno, and not the options", async (t) => {
  await t.rejects(mount("tmpfs", "/proc/none", "tmpfs", 0, "secret=hunter2"), {
    code: "SYSTEM_CALL_FAILED",
    message: "mount(tmpfs tmpfs on /proc/none) failed: ENOENT",
    cause: { code: "ENOENT", errno: 2, syscall: "mount" },
  });
  await t.rejects(unmount("/proc/none"), { message: "umount2(/proc/none) failed: ENOENT" });
  t.equal(errnoName(16), "EBUSY");
  t.equal(errnoName(99999), "errno 99999");
  await sync();
});

test("mounts are made and unmade, in a namespace of their own", (t) => {
  const libc = fileURLToPath(new URL("../../src/linux/libc.ts", import.meta.url));
  const script = `
    import { readFileSync, writeFileSync, mkdtempSync, rmdirSync } from "node:fs";
    import { mount, mountFlags, unmount, unmountFlags } from ${JSON.stringify(libc)};
    const directory = mkdtempSync("/tmp/libc-");
    await mount("scratch", directory, "tmpfs", mountFlags.noSuid | mountFlags.noDev, "size=64k,mode=700");
    writeFileSync(directory + "/file", "x");
    const line = readFileSync("/proc/self/mounts", "utf8").split("\\n").find((entry) => entry.includes(directory));
    await mount("", directory, "", mountFlags.remount | mountFlags.bind | mountFlags.readOnly);
    let readOnly;
    try { writeFileSync(directory + "/file", "y"); } catch (error) { readOnly = error.code; }
    await unmount(directory, unmountFlags.detach);
    rmdirSync(directory);
    console.log(JSON.stringify([line, readOnly]));
  `;
  const { stdout, stderr, status } = spawnSync(
    "unshare",
    ["--mount", process.execPath, "--input-type=module-typescript", "--eval", script],
    { encoding: "utf8" },
  );
  t.equal(status, 0, stderr);
  t.match(JSON.parse(stdout), [/^scratch .* tmpfs rw,nosuid,nodev,.*size=64k,mode=700/, "EROFS"]);
  t.end();
});
