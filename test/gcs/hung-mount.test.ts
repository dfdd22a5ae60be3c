/** A mount that waits in the kernel, as one of a disk or a share that does not answer does, holds up nothing else. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import t from "tap";
import { mount, unmount, unmountFlags } from "../../src/linux/libc.ts";
import { requestTypeOf } from "../../src/protocol/messages.ts";
import { runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";

const { agent, host } = await startGuest(t);
await host.negotiate();

/** A file system of which this process is the server, and never answers. */
const hung = `${agent.directory}/hung`;
mkdirSync(hung);
const device = openSync("/dev/fuse", "r+");
let isOpen = true;
const hangUp = () => {
  if (isOpen) closeSync(device);
  isOpen = false;
};
t.teardown(async () => {
  hangUp();
  await unmount(hung, unmountFlags.detach);
});
await mount("hung", hung, "fuse", 0, `fd=${device},rootmode=40000,user_id=0,group_id=0`);

const add = (id: bigint, name: string) =>
  host.send(requestTypeOf("ModifySettings"), id, {
    ContainerId: UVM,
    Request: {
      ResourceType: "CombinedLayers",
      RequestType: "Add",
      Settings: {
        ContainerRootPath: `${agent.directory}/private/${name}`,
        Layers: [{ Path: `${hung}/${name}` }],
      },
    },
  });

await t.test("layers on a file system that does not answer", async (t) => {
  // More at once than are let into the kernel.
  const ids = [8001n, 8002n, 8003n, 8004n, 8005n];
  for (const id of ids) add(id, `layer-${id}`);
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
    t.match(body.ErrorMessage, /cannot mount .*hung\/layer-/, "each is told what became of it");
  }
});
