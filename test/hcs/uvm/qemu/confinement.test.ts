/** What a guest that has taken QEMU over would find. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { ConsoleFile } from "../../../../src/hcs/uvm/qemu/console-file.ts";
import { QemuVm } from "../../../../src/hcs/uvm/qemu/qemu-vm.ts";
import { testGuest } from "./test-guest.ts";

t.setTimeout(240_000);

/** All lines of a process's cgroup file that name one of ours. */
const cgroupsOf = (pid: number) =>
  readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .split("\n")
    .filter((line) => line.includes("/lcow-vm/"));

t.test("QEMU has no rights, no environment, no files but its guest's, and bounds", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "confined-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const disk = join(directory, "disk");
  // Only root may open it; the guest has it all the same.
  writeFileSync(disk, Buffer.alloc(1 << 20), { mode: 0o600 });
  process.env.LCOW_TEST_SECRET = "s3cret";
  t.teardown(() => delete process.env.LCOW_TEST_SECRET);
  const vm = await QemuVm.create({
    ...testGuest(t),
    accelerator: "tcg",
    transport: "forwarder",
    memoryMiB: 256,
    initArguments: ["/bin/sleep", "1000"],
    disks: [{ path: disk, lun: 0 }],
  });
  t.teardown(() => vm.close());
  await vm.start();
  const pid = vm.pid ?? 0;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) =>
    new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1]?.split(/\s+/);
  for (const ids of [field("Uid"), field("Gid")])
    t.ok(
      ids?.every((id) => Number(id) >= 0x6c63_0000 && id === ids[0]),
      String(ids),
    );
  t.same(field("Groups"), [""]);
  for (const name of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    t.same(field(name), ["0000000000000000"], name);
  t.same(field("NoNewPrivs"), ["1"]);
  t.same(field("Seccomp"), ["2"]);
  const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean);
  const names = environment.map((entry) => entry.split("=")[0] ?? "");
  t.same(names, ["PATH"]);

  const cgroups = cgroupsOf(pid);
  t.ok(cgroups.length > 0, "a cgroup of its own");
  const roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"];
  const directories = roots.map((root) => `${root}/lcow-vm/${pid}`).filter((path) => existsSync(path));
  const limits = directories.flatMap((path) =>
    ["memory.max", "memory.limit_in_bytes", "pids.max"]
      .filter((file) => existsSync(`${path}/${file}`))
      .map((file) => Number(readFileSync(`${path}/${file}`, "utf8"))),
  );
  t.same(
    limits.sort((a, b) => a - b),
    [1024, (256 + 1024) * 2 ** 20],
    "limits of processes and memory",
  );

  // A disk that is plugged in later comes as a descriptor, too, and leaves none behind.
  const fds = () => readdirSync(`/proc/${pid}/fd`).length;
  const before = fds();
  const late = join(directory, "late");
  writeFileSync(late, Buffer.alloc(1 << 20), { mode: 0o600 });
  await vm.attachDisk({ path: late, lun: 5 });
  t.ok(fds() > before);
  await t.rejects(vm.attachDisk({ path: late, lun: 5 }), { code: "HELPER_FAILED" }, "taken");
  await t.rejects(vm.attachDisk({ path: join(directory, "absent"), lun: 6 }), { code: "INVALID_ARGUMENT" });

  await vm.close();
  t.same(
    directories.filter((path) => existsSync(path)),
    [],
    "nothing is left of its cgroup",
  );
});

t.test("a disk that names other files is no way to them", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "qcow2-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const header = Buffer.alloc(512);
  header.writeUInt32BE(0x514649fb, 0);
  header.writeUInt32BE(3, 4);
  header.writeBigUInt64BE(4n, 72);
  const external = join(directory, "external.qcow2");
  writeFileSync(external, header);
  const text = join(directory, "text");
  writeFileSync(text, "x".repeat(512));
  for (const [path, message] of [
    [external, /keeps its data in another file/],
    [text, /is no qcow2 file/],
  ] as const) {
    const vm = await QemuVm.create({
      ...testGuest(t),
      accelerator: "tcg",
      disks: [{ path, lun: 0, format: "qcow2" }],
    });
    await t.rejects(vm.start(), { code: "INVALID_ARGUMENT", message });
  }
});

t.test("a console that never stops does not fill the disk", (t) => {
  const directory = t.testdir({});
  const path = join(directory, "console");
  const chunk = "x".repeat(1024 * 1024 - 1);
  using file = new ConsoleFile(path);
  for (let count = 0; count < 50; count++) file.write(`${chunk}\n`);
  t.same(readdirSync(directory).sort(), ["console", "console.1"]);
  const sizes = ["console", "console.1"].map((name) => statSync(join(directory, name)).size);
  t.ok(Math.max(...sizes) <= 17 * 2 ** 20, String(sizes));
  t.throws(() => new ConsoleFile(directory), { code: "INVALID_ARGUMENT" });
  t.end();
});
