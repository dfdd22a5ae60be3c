import { once } from "node:events";
import { connect } from "node:net";
import { test } from "tap";
import { listen } from "../../../native/hvsock/index.ts";
import { VsockHostTransport } from "../../../src/hcs/transport/vsock-host-transport.ts";
import { VsockPorts } from "../../../src/hcs/transport/vsock-ports.ts";
import { shortDirectory } from "../short-directory.ts";
import { hashAll, randomChunks, randomNumbers, readAll, sendAll } from "./forwarder/stream-helpers.ts";

const DEADLINE = { timeoutMs: 20_000 };

// Few machines have vhost-vsock: Unix sockets stand for vsock ports, and the order of dials for the guests' CIDs.
test("guests share a port of the host, and each gets what it dialled itself", async (t) => {
  const directory = shortDirectory(t);
  const dialled = [3, 4, 5, 3, 3];
  const ports = new VsockPorts(
    (port) => listen({ path: `${directory}/${port}` }),
    () => dialled.shift() ?? 0,
  );
  const [three, four] = [new VsockHostTransport(3, ports), new VsockHostTransport(4, ports)];
  t.teardown(() => Promise.all([three.close(), four.close()]));
  const [onThree, onFour] = [await three.listen(9), await four.listen(9)];
  await t.rejects(three.listen(9), { code: "INVALID_ARGUMENT" });
  const dial = async () => {
    const socket = connect({ path: `${directory}/9`, allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  };

  const [first, second, stranger] = [await dial(), await dial(), await dial()];
  const heardByStranger = readAll(stranger);
  first.end("from guest three");
  second.end("from guest four");
  const [streamThree, streamFour] = [await onThree.accept(DEADLINE), await onFour.accept(DEADLINE)];
  t.equal(String(await readAll(streamThree)), "from guest three");
  t.equal(String(await readAll(streamFour)), "from guest four");
  t.equal(String(await heardByStranger), "", "a dial from elsewhere is closed");
  streamThree.end("goodbye");
  t.equal(String(await readAll(first)), "goodbye");

  const size = 8 << 20;
  const bulk = await dial();
  const stream = await onThree.accept(DEADLINE);
  const up = sendAll(bulk, randomChunks(randomNumbers(1), size, 100_000));
  const down = sendAll(stream, randomChunks(randomNumbers(2), size, 100_000));
  const [gotUp, gotDown] = await Promise.all([hashAll(stream), hashAll(bulk)]);
  t.same(
    [gotUp, gotDown],
    [
      { bytes: size, sha256: await up },
      { bytes: size, sha256: await down },
    ],
  );

  const last = await dial();
  const open = await onThree.accept(DEADLINE);
  const failed = new Promise((resolve) => open.once("error", resolve));
  const pending = t.rejects(onThree.accept(), { code: "TRANSPORT_CLOSED" });
  await three.close();
  await pending;
  t.match(await failed, { code: "TRANSPORT_CLOSED" });
  await onFour.close();
  const refused = connect(`${directory}/9`);
  t.match((await once(refused, "error"))[0], { code: "ENOENT" });
  for (const socket of [stranger, second, last]) socket.destroy();
  streamFour.destroy();
});
