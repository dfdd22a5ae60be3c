import { binding } from "../../native/hvsock/binding.ts";
import { closeFd, connectFd, listen, vsockCid } from "../../native/hvsock/index.ts";
import { AgentError } from "../common/errors.ts";
import { checkPort } from "../common/port.ts";
import { dial } from "./dial.ts";
import type { Connection, DialOptions, Transport } from "./transport.ts";

/** AF_VSOCK to the host of this virtual machine (context id 2): Hyper-V sockets, or virtio's under QEMU. */
export class VsockTransport implements Transport {
  readonly name = "vsock";
  readonly #cid: number;

  /** @param cid another peer than the host, for tests: 1 is this machine's loopback. */
  constructor(cid: number = vsockCid.host) {
    this.#cid = cid;
  }

  /** @throws AgentError as Transport.dial; DIAL_FAILED when it is not the host that answers at the host's address. */
  async dial(port: number, options?: DialOptions): Promise<Connection> {
    const connection = await dial({ cid: this.#cid, port: checkPort(port) }, port, options);
    if (this.#cid !== vsockCid.host) return connection;
    try {
      await checkHost(connection.fd);
      return connection;
    } catch (cause) {
      connection.close();
      const what = `dial ${options?.stream ?? "the host"} on port ${port}`;
      throw new AgentError("DIAL_FAILED", `${what}: who answers at the host's address is not the host`, {
        cause,
      });
    }
  }
}

/** VMADDR_PORT_ANY: the kernel chooses. */
const ANY_PORT = 0xffff_ffff;
/** A port that no host has reason to listen on; who listens there all the same hears nothing. */
const PROBE_PORT = 1;
const PROBE_TIMEOUT_MS = 1;

/**
 * With the loopback transport and no other, the kernel serves the host's address from this very machine, where any
 * container may listen.
 */
async function checkHost(fd: number): Promise<void> {
  const peer = binding.peerAddress(fd);
  if (!("cid" in peer) || peer.cid !== vsockCid.host) {
    throw new AgentError("INVALID_STATE", "the peer's address is not the host's");
  }
  if (!hasLoopback() || (await hasOtherTransport())) return;
  throw new AgentError(
    "INVALID_STATE",
    "the only vsock transport here is vsock_loopback; unload it, or load the transport to the host",
  );
}

function hasLoopback(): boolean {
  try {
    listen({ cid: vsockCid.local, port: ANY_PORT }).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRNOTAVAIL") return false;
    throw error;
  }
}

/** The loopback has no way to context id 0, the hypervisor; every other transport of a guest has. */
async function hasOtherTransport(): Promise<boolean> {
  try {
    closeFd(await connectFd({ cid: vsockCid.hypervisor, port: PROBE_PORT }, { timeoutMs: PROBE_TIMEOUT_MS }));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENODEV";
  }
}
