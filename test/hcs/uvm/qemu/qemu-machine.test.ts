/** How the end of QEMU's process is told, with programs in its place that end as it hardly ever does. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { type Test, test } from "tap";
import { QemuMachine } from "../../../../src/hcs/uvm/qemu/qemu-machine.ts";
import { shortDirectory } from "../../short-directory.ts";

const MIB = 2 ** 20;

/** A machine whose program is a script; its control connection leads nowhere. */
function machineOf(t: Test, script: string, memoryBytes = 256 * MIB): QemuMachine {
  const directory = shortDirectory(t);
  const path = `${directory}/qemu`;
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  const server = createServer(() => undefined).listen(`${directory}/control`);
  t.teardown(() => server.close());
  const control = createConnection(`${directory}/control`);
  const program = { path, parameters: [], confinement: [], fds: [] };
  return new QemuMachine(program, {
    control,
    memoryBytes,
    consoleFile: undefined,
    onPortClosed: () => undefined,
  });
}

test("QEMU that takes more memory than it may is told to have been out of memory", async (t) => {
  // The bound is a GiB above the guest's memory.
  const machine = machineOf(t, "echo booting; exec tail /dev/zero", -(1024 - 48) * MIB);
  if (machine.cgroup === undefined) throw new Error("this machine has no memory cgroups for root");
  const { how, error } = await machine.exited;
  t.equal(how, "crashed");
  t.match(error.message, /QEMU was ended by SIGKILL: out of memory, of which it may have 48 MiB/);
  t.match(error.message, "booting");
});

test("QEMU's end is told though somebody holds its console open, and close() ends it", async (t) => {
  const machine = machineOf(t, "sleep 1000 & echo $!; exec sleep 1000");
  while (machine.console.text === "") await new Promise((resolve) => setTimeout(resolve, 10));
  const holder = Number(machine.console.text);
  t.teardown(() => process.kill(holder, "SIGKILL"));
  await machine.close();
  t.equal((await machine.exited).how, "closed");
  t.notOk(
    existsSync(`/proc/${machine.pid}`) && !/\) Z /.test(readFileSync(`/proc/${machine.pid}/stat`, "utf8")),
  );
});
