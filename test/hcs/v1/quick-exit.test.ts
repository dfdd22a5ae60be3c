import { join } from "node:path";
import { test } from "tap";
import { GuestConnection } from "../../../src/hcs/guest/guest-connection.ts";
import * as hcs from "../../../src/hcs/index.ts";
import { UnixHostTransport } from "../../../src/hcs/transport/unix-host-transport.ts";
import { FakeGuest } from "../guest/fake-guest.ts";
import { shortDirectory } from "../short-directory.ts";

test("a container that has ended before the answer to its first process was looked at", async (t) => {
  const prefix = join(shortDirectory(t), "port");
  const transport = new UnixHostTransport(prefix);
  const guest = await GuestConnection.listen(transport);
  const [agent] = await Promise.all([FakeGuest.negotiated(prefix), guest.accept()]);
  const uvm: hcs.UtilityVm = {
    guest,
    died: Promise.withResolvers<never>().promise,
    hasUnifiedCgroups: true,
    prepareRoot: async () => ({ path: "/root", readonly: true, temporaryDirectories: [] }),
    bundlePath: (id) => `/run/${id}`,
    close: async () => {
      await guest.close();
      await transport.close();
    },
  };
  const driver = {
    name: "fake",
    check: () => undefined,
    start: async () => ({ uvm, runtime: { command: "runc" } }),
  };
  hcs.setDriver(driver);
  t.teardown(() => hcs.defaultService().close());

  const container = await hcs.v1.createContainer("quick", { ContainerType: "Linux", HvPartition: true });
  await container.start();
  const creating = container.createProcess({ CommandArgs: ["true"] });
  agent.answer("Create", (await agent.next("Create")).id, { Result: 0 });
  agent.answer("Start", (await agent.next("Start")).id, { Result: 0 });
  const { id } = await agent.next("ExecuteProcess");
  // Both in one piece, as they come when the process is quicker than the host.
  agent.socket.cork();
  agent.answer("ExecuteProcess", id, { Result: 0, ProcessId: 42 });
  agent.notifyExit("quick", "UnexpectedExit");
  agent.socket.uncork();
  const process = await creating;
  agent.answer("WaitForProcess", (await agent.next("WaitForProcess")).id, { Result: 0, ExitCode: 7 });
  await process.wait();
  t.equal(await process.exitCode(), 7);
  await agent.closed;
  t.pass("and then its VM has ended, too");
});
