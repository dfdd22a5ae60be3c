import { closeFd, shutdownSocket } from "../../native/hvsock/index.ts";
import { AgentError } from "../common/errors.ts";
import type { Connection } from "./transport.ts";

/** Owns the descriptor of one connected stream socket. */
export class SocketConnection implements Connection {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  release(): number {
    if (this.#fd < 0) throw new AgentError("TRANSPORT_CLOSED", "the connection is closed or was given away");
    const fd = this.#fd;
    this.#fd = -1;
    return fd;
  }

  shutdown(how: "read" | "write"): void {
    if (this.#fd >= 0) shutdownSocket(this.#fd, how);
  }

  close(): void {
    if (this.#fd >= 0) closeFd(this.release());
  }
}
