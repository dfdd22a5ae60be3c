import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "tap";
import { GuestConnection } from "../../../../src/hcs/guest/guest-connection.ts";
import { listenForGuest } from "../../../../src/hcs/guest/listen-hyperv.ts";
import { HypervHostTransport } from "../../../../src/hcs/transport/hyperv/hyperv-host-transport.ts";
import {
  decodePollEntries,
  encodePollEntries,
  Winsock,
} from "../../../../src/hcs/transport/hyperv/winsock.ts";
import { startAgent } from "../../../helpers/agent.ts";
import { ociSpec } from "../../../helpers/bundle.ts";
import { shortDirectory } from "../../short-directory.ts";
import { LibcSockets } from "./libc-sockets.ts";

const VM = "11223344-5566-7788-99aa-bbccddeeff00";

test("what is bound is the guest's VM and the port's service, byte for byte", async (t) => {
  const sockets = new LibcSockets(`${shortDirectory(t)}/s`);
  const transport = new HypervHostTransport(VM, sockets);
  await transport.listen(0x40000000);
  await transport.close();
  t.equal(
    Buffer.from(sockets.addresses[0] ?? []).toString("hex"),
    // Family 34, reserved; the VM's and the service's GUIDs, their first three fields little endian.
    "22000000" + "44332211665588779" + "9aabbccddeeff00" + "00000040cbfae611" + "bd5864006a7986d3",
  );
});

test("WSAPoll's entries have the layout of Win64", async (t) => {
  const entries = encodePollEntries([
    { handle: 0x1234, read: true, write: false },
    { handle: 0x5678, read: true, write: true },
  ]);
  t.equal(entries.toString("hex"), "34120000000000000001000000000000" + "78560000000000001001000000000000");
  entries.writeInt16LE(0x0002, 10);
  entries.writeInt16LE(0x0010, 26);
  t.strictSame(decodePollEntries(entries), [
    { handle: 0x1234, read: true, write: true },
    { handle: 0x5678, read: false, write: true },
  ]);
});

test("without Windows there is no Winsock, which is said", async (t) => {
  t.throws(() => new Winsock(), { code: "NOT_SUPPORTED", message: /need Windows/ });
  await t.rejects(listenForGuest(VM), { code: "NOT_SUPPORTED" });
});

test("streams: both ways at once, half-closes, and no handle is left", async (t) => {
  const prefix = `${shortDirectory(t)}/s`;
  const sockets = new LibcSockets(prefix);
  const transport = new HypervHostTransport(VM, sockets);
  const listener = await transport.listen(7);
  t.match(await transport.listen(7).catch((error: unknown) => error), { code: "INVALID_ARGUMENT" });
  const guest = connect({ path: `${prefix}_7`, allowHalfOpen: true });
  const host = await listener.accept({ timeoutMs: 10_000 });
  const data = randomBytes(3_000_000);
  const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  // Not `for await`, which destroys the stream at its end, and with it what is still being written.
  const collect = (stream: Readable) =>
    new Promise<string>((resolve, reject) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.once("end", () => resolve(digest(Buffer.concat(chunks)))).once("error", reject);
    });
  const received = [collect(host), collect(guest)];
  guest.end(data);
  host.end(data);
  t.strictSame(await Promise.all(received), [digest(data), digest(data)]);
  host.destroy();

  const lost = connect(`${prefix}_7`);
  const other = await listener.accept();
  lost.destroy();
  other.resume();
  await once(other, "end");
  other.destroy();
  await listener.close();
  await transport.close();
  for (const deadline = Date.now() + 10_000; sockets.open.size > 0 && Date.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(sockets.open.size, 0);
});

test("a real agent over this transport", async (t) => {
  const agent = startAgent();
  t.teardown(() => agent.stop());
  const transport = new HypervHostTransport(VM, new LibcSockets(agent.prefix));
  const guest = await GuestConnection.listen(transport);
  await guest.accept({ timeoutMs: 60_000 });
  const spec = ociSpec({ args: ["/bin/sh", "-c", "cat; exit 3"] });
  const container = await guest.createContainer("c", { bundlePath: `${agent.directory}/c`, spec });
  await container.start();
  const init = await container.createProcess({ stdin: true, stdout: true });
  init.stdin?.end("through Hyper-V's transport");
  t.equal(init.stdout && (await text(init.stdout)), "through Hyper-V's transport");
  t.equal(await init.wait(), 3);
  await container.exited;
  await container.deleteState();
  await guest.close();
  await transport.close();
});
