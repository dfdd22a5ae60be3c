import { test } from "tap";
import { TestService } from "./support.ts";

const LOOP = 'echo started; trap "echo ending; exit 3" TERM; while :; do sleep 0.1; done';

test("a container in a virtual machine", { timeout: 300_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "machine", "--", "/bin/sh", "-c", LOOP);
  await service.ok("start", "machine");
  t.match(await service.ok("exec", "machine", "uname", "-r"), "cloud");
  await service.ok("pause", "machine");
  t.match(await service.ok("list"), /machine +Container +Paused/);
  await service.stop();
  await service.start();
  await service.ok("resume", "machine");
  t.match(await service.ok("stats", "machine"), /machine +[\d.]+ [KM]iB/);
  await service.ok("stop", "machine");
  t.equal(await service.ok("logs", "machine"), "started\nending\n");
  await service.ok("rm", "machine");
});
