import { vsockCid } from "../../native/hvsock/index.ts";
import { checkPort } from "./check-port.ts";
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

  async dial(port: number, options?: DialOptions): Promise<Connection> {
    return dial({ cid: this.#cid, port: checkPort(port) }, port, options);
  }
}
