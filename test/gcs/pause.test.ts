/** Pause and resume of a container: by the agent's own runtime, and by a process in guests that know no such request. */
import { type Test, test } from "tap";
import { AgentError } from "../../src/common/errors.ts";
import { ContainerKind } from "../../src/hcs/compute/kinds/container-kind.ts";
import { GuestConnection } from "../../src/hcs/guest/guest-connection.ts";
import { UnixHostTransport } from "../../src/hcs/transport/unix-host-transport.ts";
import { FakeGuest } from "../hcs/guest/fake-guest.ts";
import { shortDirectory } from "../hcs/short-directory.ts";
import { startAgent } from "../helpers/agent.ts";
import { ociSpec } from "../helpers/bundle.ts";

async function listen(t: Test, prefix: string): Promise<GuestConnection> {
  const transport = new UnixHostTransport(prefix);
  const guest = await GuestConnection.listen(transport);
  t.teardown(async () => {
    await guest.close();
    await transport.close();
  });
  return guest;
}

test("a paused container runs nothing until it is resumed, and no program is started for it but the runtime", async (t) => {
  const agent = startAgent();
  const guest = await listen(t, agent.prefix);
  t.teardown(() => agent.stop());
  await guest.accept();
  t.equal(guest.canPause, true);
  const container = await guest.createContainer("frozen", {
    bundlePath: `${agent.directory}/c/frozen`,
    spec: ociSpec({ args: ["/bin/cat"] }),
  });
  await t.rejects(container.pause(), { code: "INVALID_STATE", message: /is created; cannot pause/ });
  const init = await container.createProcess({ stdin: true, stdout: true });
  const received: string[] = [];
  init.stdout?.setEncoding("utf8").on("data", (text: string) => received.push(text));
  const started = async () => Number(/programs started: (\d+)/.exec(await guest.dumpStacks())?.[1]);
  const before = await started();
  await container.pause();
  t.equal(await started(), before + 1, "the runtime's own call");
  init.stdin?.write("while it is paused\n");
  await t.rejects(container.pause(), { code: "INVALID_STATE", message: /frozen is paused already/ });
  t.same(received, [], "nobody echoes");
  await container.resume();
  while (received.join("") === "") await new Promise((resolve) => init.stdout?.once("data", resolve));
  t.equal(received.join(""), "while it is paused\n");
  await t.rejects(container.resume(), { code: "INVALID_STATE", message: /frozen is running already/ });
  await container.pause();
  await container.terminate();
  t.equal(await container.exited, "ForcedExit", "one that is paused can be ended");
  await t.rejects(container.pause(), { code: "INVALID_STATE", message: /is stopped; cannot pause/ });
  await container.deleteState();
});

test("in a guest that does not know of it the runtime's command is run, and what that says is the error", async (t) => {
  const prefix = `${shortDirectory(t)}/uvm`;
  const connection = await listen(t, prefix);
  const accepted = connection.accept({ timeoutMs: 20_000 });
  const guest = await FakeGuest.negotiated(prefix);
  await accepted;
  t.equal(connection.canPause, false);
  const kind = new ContainerKind("c1", "vm", {
    // Of the machine, only what a container asks.
    vm: {
      uvm: { guest: connection, bundlePath: () => "/run/gcs/c/c1" },
      runtime: { command: "runc" },
    } as never,
    hosted: new Set(),
    exited: new Promise(() => {}),
    disks: () => ({}),
  });
  const answer = async (name: "Create" | "ExecuteProcess", more: object = {}) => {
    const request = await guest.next(name);
    guest.answer(name, request.id, { Result: 0, ...more } as never);
    return request.body;
  };
  const spec = ociSpec() as never;
  await Promise.all([kind.createFromSpec({ OciSpecification: spec } as never, {}), answer("Create")]);
  await Promise.all([kind.createProcess({}, {}), answer("ExecuteProcess", { ProcessId: 7 })]);
  const refused = t.rejects(kind.pause({}), { code: "SYSTEM_NOT_FOUND" });
  await guest.next("WaitForProcess");
  const request = await guest.next("ExecuteProcess");
  t.match(request.body, {
    ContainerId: "00000000-0000-0000-0000-000000000000",
    Settings: { ProcessParameters: /"CommandArgs":\["runc","pause","c1"\]/ },
  });
  guest.refuse("ExecuteProcess", request.id, new AgentError("SYSTEM_NOT_FOUND", "there is no runc here"));
  await refused;
});
