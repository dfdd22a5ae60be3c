import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import t from "tap";
import { testGuest } from "./test-guest.ts";

t.setTimeout(180_000);

t.test("a virtual machine dies with the process that started it", async (t) => {
  const temporary = mkdtempSync(join(tmpdir(), "death-"));
  t.teardown(() => rmSync(temporary, { recursive: true }));
  const guest = testGuest(t);
  const config = {
    ...guest,
    accelerator: "tcg",
    transport: "forwarder",
    initArguments: ["/bin/sleep", "1000"],
  };
  const module = join(import.meta.dirname, "../../../../src/hcs/uvm/qemu/qemu-vm.ts");
  const program = `
    const { QemuVm } = await import(${JSON.stringify(module)});
    const vm = await QemuVm.create(${JSON.stringify(config)});
    await vm.start();
    console.log(vm.pid);
    setInterval(() => {}, 1000);
  `;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
    // Its own, since others boot machines meanwhile.
    env: { ...process.env, TMPDIR: temporary },
  });
  t.teardown(() => parent.kill("SIGKILL"));
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(String(line));
  t.ok(existsSync(`/proc/${pid}`), "the machine runs");
  const left = () => readdirSync(temporary);
  t.same(left(), [], "and its sockets are not needed any more");
  parent.kill("SIGKILL");
  await once(parent, "exit");
  const deadline = Date.now() + 30_000;
  // A process that is nobody's child any more leaves no event behind.
  while (existsSync(`/proc/${pid}`) && Date.now() < deadline) await sleep(20);
  t.notOk(existsSync(`/proc/${pid}`), "and is gone");
});
