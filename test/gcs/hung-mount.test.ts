/** A mount that waits in the kernel, as one of a disk or a share that does not answer does, holds up nothing else. */
import { closeSync, openSync } from "node:fs";
import t, { type Test } from "tap";
import { mount, unmount, unmountFlags } from "../../src/linux/libc.ts";
import { requestTypeOf } from "../../src/protocol/messages.ts";
import { shortDirectory } from "../hcs/short-directory.ts";
import { runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { type Guest, startGuest } from "../helpers/guest.ts";

/** A file system of which this process is the server, and never answers. @returns its path and its end */
async function hungFileSystem(t: Pick<Test, "teardown">): Promise<{ path: string; hangUp(): void }> {
  const path = shortDirectory(t);
  const device = openSync("/dev/fuse", "r+");
  let isOpen = true;
  const hangUp = () => {
    if (isOpen) closeSync(device);
    isOpen = false;
  };
  t.teardown(async () => {
    hangUp();
    await unmount(path, unmountFlags.detach);
  });
  await mount("hung", path, "fuse", 0, `fd=${device},rootmode=40000,user_id=0,group_id=0`);
  return { path, hangUp };
}

function add({ agent, host }: Guest, hung: string, id: bigint): void {
  host.send(requestTypeOf("ModifySettings"), id, {
    ContainerId: UVM,
    Request: {
      ResourceType: "CombinedLayers",
      RequestType: "Add",
      Settings: {
        ContainerRootPath: `${agent.directory}/private/layer-${id}`,
        Layers: [{ Path: `${hung}/layer-${id}` }],
      },
    },
  });
}

await t.test("layers on a file system that does not answer", async (t) => {
  const guest = await startGuest(t);
  const { agent, host } = guest;
  await host.negotiate();
  const { path, hangUp } = await hungFileSystem(t);
  // More at once than are let into the kernel.
  const ids = [8001n, 8002n, 8003n, 8004n, 8005n];
  for (const id of ids) add(guest, path, id);
  await runSleeper(host, "c", `${agent.directory}/c/c`);
  t.match(await host.request("DumpStacks", { ContainerId: "" }), {
    GuestStacks: /ModifySettings id=8001 .*pending/,
  });
  t.equal(
    host.received.some(({ id }) => ids.includes(id)),
    false,
    "they wait still",
  );
  hangUp();
  for (const id of ids) {
    const { body } = await host.reply("ModifySettings", id);
    t.equal(Number(body.Result) >>> 0, 0x80004005);
    t.match(body.ErrorMessage, /cannot mount .*\/layer-/, "each is told what became of it");
  }
});

await t.test("the agent ends though a mount never does", async (t) => {
  const guest = await startGuest(t);
  await guest.host.negotiate();
  const { path } = await hungFileSystem(t);
  add(guest, path, 8001n);
  // It asks after that one.
  await guest.host.request("DumpStacks", { ContainerId: "" });
  t.equal(await guest.agent.stop(), 0);
});
