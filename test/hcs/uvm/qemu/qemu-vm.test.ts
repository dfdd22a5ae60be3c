import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import t, { type Test } from "tap";
import type { QemuConfig } from "../../../../src/hcs/uvm/qemu/config.ts";
import { QemuVm } from "../../../../src/hcs/uvm/qemu/qemu-vm.ts";
import { hashAll, randomChunks, randomNumbers, sendAll } from "../../transport/forwarder/stream-helpers.ts";
import { testGuest } from "./test-guest.ts";

// Emulated guests on a busy machine: each boot takes seconds, at times many.
t.setTimeout(600_000);
t.jobs = 1;
// Its own, since others run machines meanwhile.
process.env.TMPDIR = mkdtempSync(join(tmpdir(), "lcow-test-"));
t.teardown(() => rmSync(tmpdir(), { recursive: true }));
const PATIENCE = { timeoutMs: 120_000 };
const guest = testGuest(t);
const shell = ["/bin/vsockexec", "-i", "50", "-o", "51", "/bin/sh"];

async function vmFor(t: Test, config: Partial<QemuConfig> = {}): Promise<QemuVm> {
  const vm = await QemuVm.create({
    ...guest,
    accelerator: "tcg",
    transport: "forwarder",
    memoryMiB: 256,
    kernelArguments: ["quiet"],
    initArguments: shell,
    bootTimeoutMs: PATIENCE.timeoutMs,
    ...config,
  });
  t.teardown(() => vm.close());
  return vm;
}

function running(pid: number | undefined): boolean {
  return pid !== undefined && existsSync(`/proc/${pid}`);
}

function directories(): string[] {
  return readdirSync(tmpdir());
}

/** Runs commands in the guest's shell, one at a time. */
class Shell {
  readonly #input: Duplex;
  readonly #output: AsyncIterator<string>;
  #rest = "";

  constructor(input: Duplex, output: Duplex) {
    this.#input = input;
    input.on("error", () => {}); // what the shell's end means, its output tells
    this.#output = output.setEncoding("utf8")[Symbol.asyncIterator]();
  }

  async run(command: string): Promise<string> {
    this.#input.write(`${command}\necho "=$?="\n`);
    for (;;) {
      const end = /^(.*?)=(\d+)=\n/s.exec(this.#rest);
      if (end !== null) {
        this.#rest = this.#rest.slice(end[0].length);
        if (end[2] !== "0") throw new Error(`${command} ended with ${end[2]}: ${end[1]}`);
        return (end[1] ?? "").trim();
      }
      const { value, done } = await this.#output.next();
      if (done === true) throw new Error(`the guest's shell ended in ${command}: ${this.#rest}`);
      this.#rest += value;
    }
  }
}

t.test("a guest boots, dials, sees disks come and go, and powers itself off", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "lcow-disks-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const [first, second] = [join(directory, "first,with a comma"), join(directory, "second")];
  await writeFile(first, "first disk\n");
  await truncate(first, 3 << 20);
  await writeFile(second, "second disk\n");
  await truncate(second, 5 << 20);
  const before = directories();
  const consoleFile = join(directory, "console");

  const vm = await vmFor(t, { disks: [{ path: first, lun: 1, readonly: true }], consoleFile });
  const [input, output] = [await vm.transport.listen(50), await vm.transport.listen(51)];
  const [bulkInput, bulkOutput] = [await vm.transport.listen(52), await vm.transport.listen(53)];
  await vm.start();
  t.equal(vm.accelerator, "tcg");
  t.ok((vm.times.forwarderReady ?? 0) > (vm.times.machineRunning ?? Number.NaN), "the stages are timed");
  const shell = new Shell(await input.accept(PATIENCE), await output.accept(PATIENCE));

  const disk = "/sys/bus/scsi/devices/0:0:0";
  t.equal(await shell.run(`cat ${disk}:1/block/*/size`), String((3 << 20) / 512));
  t.equal(await shell.run(`head -n1 /dev/$(ls ${disk}:1/block)`), "first disk");
  t.equal(await shell.run(`cat ${disk}:1/block/*/ro`), "1");
  await vm.attachDisk({ path: second, lun: 63 });
  t.equal(
    await shell.run(
      `until [ -e ${disk}:63/block/*/size ]; do sleep 0.1; done; head -n1 /dev/$(ls ${disk}:63/block)`,
    ),
    "second disk",
  );
  await t.rejects(vm.attachDisk({ path: second, lun: 63 }), { code: "HELPER_FAILED" });
  await vm.detachDisk({ lun: 63 });
  await shell.run(`until [ ! -e ${disk}:63 ]; do sleep 0.1; done`);
  await t.rejects(vm.attachDisk({ path: second, lun: 64 }), { code: "INVALID_ARGUMENT" });

  await shell.run("vsockexec -i 52 -o 53 /bin/cat > /dev/null 2>&1 &");
  const down = await bulkInput.accept(PATIENCE);
  const up = await bulkOutput.accept(PATIENCE);
  const sent = sendAll(down, randomChunks(randomNumbers(3), 4 << 20, 60_000));
  t.same(await hashAll(up), { bytes: 4 << 20, sha256: await sent }, "4 MiB through the guest and back");
  up.end();

  const pid = vm.pid;
  shell.run("exit 0").catch(() => {});
  t.match(await vm.waitForExit(PATIENCE), { how: "shutdown", error: { code: "TRANSPORT_CLOSED" } });
  t.notOk(running(pid));
  t.same(directories(), before, "no directory is left");
  t.ok(existsSync(consoleFile));
  await t.rejects(vm.transport.listen(60), { code: "TRANSPORT_CLOSED" });
});

t.test("when QEMU is killed, streams and accepts fail and tell why", async (t) => {
  const before = directories();
  const vm = await vmFor(t);
  const [input, output] = [await vm.transport.listen(50), await vm.transport.listen(51)];
  await vm.start();
  const stream = await input.accept(PATIENCE);
  const shell = new Shell(stream, await output.accept(PATIENCE));
  await shell.run("echo 'the last words' > /dev/console");
  const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
  const pending = t.rejects(input.accept(PATIENCE), { code: "TRANSPORT_CLOSED" });
  process.kill(vm.pid ?? Number.NaN, "SIGKILL");
  t.match(await failed, { code: "TRANSPORT_CLOSED", message: /QEMU was ended by SIGKILL.*the last words/s });
  await pending;
  t.match(await vm.exited, { how: "crashed" });
  await t.rejects(shell.run("true"));
  t.same(directories(), before);
});

t.test("a guest that cannot boot says so", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "lcow-bad-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const garbage = join(directory, "garbage");
  await writeFile(garbage, Buffer.alloc(100_000, "no archive"));
  const before = directories();

  // One processor: two of an emulated kernel without a root were once seen to lock each other up.
  const corrupt = await vmFor(t, { initrd: garbage, cpus: 1 });
  await t.rejects(corrupt.start(), {
    code: "SPAWN_FAILED",
    message: /did not boot: the guest rebooted: kernel panic: VFS: Unable to mount root fs/,
  });
  const brief = await vmFor(t, { bootTimeoutMs: 300 });
  await t.rejects(brief.start(), { code: "TIMEOUT", message: /did not boot within 300 ms/ });
  await t.rejects(brief.start(), { code: "INVALID_STATE" });
  const aborted = await vmFor(t);
  await t.rejects(aborted.start({ signal: AbortSignal.timeout(200) }), { code: "ABORTED" });
  for (const vm of [corrupt, brief, aborted]) t.notOk(running(vm.pid));
  t.same(directories(), before);
});

t.test("what can be known before QEMU starts is told at once", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "lcow-bad-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const garbage = join(directory, "garbage");
  await writeFile(garbage, Buffer.alloc(100_000, "no kernel"));
  const [cutShort, cutElf, fifo] = ["short", "elf", "fifo"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(cutShort, (await readFile(guest.kernel)).subarray(0, 1 << 20));
  await writeFile(cutElf, (await readFile(process.execPath)).subarray(0, 1 << 20));
  execFileSync("mkfifo", [fifo]);
  const empty = join(directory, "empty");
  await writeFile(empty, "");
  const wrong: [Partial<QemuConfig>, { code: string; message?: RegExp }][] = [
    [
      { kernel: "/proc/none/kernel" },
      { code: "INVALID_ARGUMENT", message: /kernel \/proc\/none\/kernel cannot be read/ },
    ],
    [{ kernel: garbage }, { code: "INVALID_ARGUMENT", message: /no x86 Linux kernel/ }],
    [{ kernel: directory }, { code: "INVALID_ARGUMENT", message: /is a directory/ }],
    [{ initrd: "/proc/none/initrd" }, { code: "INVALID_ARGUMENT", message: /initrd \/proc\/none\/initrd/ }],
    [{ initrd: empty }, { code: "INVALID_ARGUMENT", message: /is empty/ }],
    [{ disks: [{ path: "/proc/none/disk", lun: 3 }] }, { code: "INVALID_ARGUMENT", message: /disk 0:3/ }],
    [{ memoryMiB: 64 }, { code: "INVALID_ARGUMENT", message: /64 MiB.*at least 256/ }],
    [
      { memoryMiB: 2 ** 30 },
      {
        code: "INVALID_ARGUMENT",
        message: /1073741824 MiB of memory are more than this machine has: \d+ MiB/,
      },
    ],
    [{ cpus: 0 }, { code: "INVALID_ARGUMENT" }],
    [
      { cpus: availableParallelism() + 1 },
      { code: "INVALID_ARGUMENT", message: /CPUs are more than this machine has: \d+/ },
    ],
    [{ kernel: cutShort }, { code: "INVALID_ARGUMENT", message: /is cut short: \d+ bytes of at least \d+/ }],
    [{ kernel: cutElf }, { code: "INVALID_ARGUMENT", message: /is cut short/ }],
    [{ kernel: "/dev/zero" }, { code: "INVALID_ARGUMENT", message: /kernel \/dev\/zero is no file/ }],
    [{ initrd: fifo }, { code: "INVALID_ARGUMENT", message: /initrd .*fifo is no file/ }],
    [{ kernel: fifo }, { code: "INVALID_ARGUMENT", message: /kernel .*fifo is no file/ }],
    [
      { consoleFile: join(directory, "none/console") },
      { code: "INVALID_ARGUMENT", message: /console .*none\/console cannot be written/ },
    ],
    [{ consoleFile: directory }, { code: "INVALID_ARGUMENT", message: /is a directory/ }],
    // QEMU's own words, and nothing of what it meant for our sockets.
    [
      { kernel: "/bin/busybox" },
      {
        code: "SPAWN_FAILED",
        message: /^the utility VM did not boot: QEMU ended with status 1: .*PVH ELF Note$/,
      },
    ],
    [{ initArguments: ["two words"] }, { code: "INVALID_ARGUMENT", message: /two words/ }],
    [
      { qemu: "/proc/none/qemu" },
      { code: "SPAWN_FAILED", message: /install the Debian package qemu-system-x86/ },
    ],
    [{ qemu: "no-such-qemu" }, { code: "SPAWN_FAILED", message: /not on the PATH/ }],
    [{ qemu: "/bin/false" }, { code: "SPAWN_FAILED", message: /QEMU ended with status 1/ }],
  ];
  const before = directories();
  for (const [config, error] of wrong) {
    const vm = await vmFor(t, config);
    await t.rejects(vm.start(), error, JSON.stringify(config));
  }
  t.same(directories(), before);
});
