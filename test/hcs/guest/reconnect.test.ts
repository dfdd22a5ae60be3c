import { once } from "node:events";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import tap, { test } from "tap";
import { GuestConnection } from "../../../src/hcs/guest/guest-connection.ts";
import type { HostListener, HostTransport } from "../../../src/hcs/transport/host-transport.ts";
import { UnixHostTransport } from "../../../src/hcs/transport/unix-host-transport.ts";
import { makeDefaultSpec } from "../../../src/hcs/uvm/default-spec.ts";
import { BRIDGE_PORT } from "../../../src/protocol/messages.ts";
import { startAgent } from "../../helpers/agent.ts";
import { busyboxRootfs } from "../../helpers/rootfs.ts";

tap.setTimeout(120_000);

/** Lets a test cut the bridge connection. */
class CuttableTransport implements HostTransport {
  readonly name = "cuttable";
  readonly #inner: HostTransport;
  #bridge: Duplex | undefined;
  accepted = 0;

  constructor(inner: HostTransport) {
    this.#inner = inner;
  }

  async listen(port: number): Promise<HostListener> {
    const listener = await this.#inner.listen(port);
    if (port !== BRIDGE_PORT) return listener;
    return {
      port,
      accept: async (options) => {
        this.#bridge = await listener.accept(options);
        this.accepted++;
        return this.#bridge;
      },
      close: () => listener.close(),
    };
  }

  cut(): void {
    this.#bridge?.destroy();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

test("a process and those who wait for it outlive the connection; a real agent keeps its word", async (t) => {
  const agent = startAgent();
  t.teardown(() => agent.stop());
  const transport = new CuttableTransport(new UnixHostTransport(agent.prefix));
  t.teardown(() => transport.close());
  const guest = await GuestConnection.listen(transport, { reconnectTimeoutMs: 30_000 });
  t.teardown(() => guest.close());
  await guest.accept({ timeoutMs: 30_000 });

  const spec = makeDefaultSpec({
    args: ["/bin/sh", "-c", "read x; echo got $x; read y; echo got $y; exit 8"],
    rootPath: busyboxRootfs(),
    rootReadonly: true,
    maximumOpenFiles: 1024,
  });
  const container = await guest.createContainer("survivor", {
    bundlePath: `${agent.directory}/c/survivor`,
    spec,
  });
  await container.start();
  const init = await container.createProcess({ stdin: true, stdout: true });
  const exit = init.wait();
  if (init.stdin === undefined || init.stdout === undefined) throw new Error("init has no streams");
  init.stdin.write("one\n");
  await once(init.stdout, "readable");

  transport.cut();
  const processes = container.processList();
  t.match(await processes, { pids: [init.pid] }, "asked while the guest was away, answered when it is back");
  t.equal(transport.accepted, 2);

  // It ends while nobody is connected.
  const output = text(init.stdout);
  transport.cut();
  init.stdin.end("two\n");
  t.equal(await exit, 8);
  t.equal(await output, "got one\ngot two\n");
  t.equal(await container.exited, "UnexpectedExit");
  t.equal(transport.accepted, 3);
  await container.deleteState();
});
