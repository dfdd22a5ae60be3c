import { checkPort } from "../common/port.ts";
import { dial } from "./dial.ts";
import type { Connection, DialOptions, Transport } from "./transport.ts";

/**
 * Port P is the Unix socket PREFIX_P, P in decimal, as Firecracker names guest-initiated connections:
 * https://github.com/firecracker-microvm/firecracker/blob/main/docs/vsock.md
 */
export class UnixTransport implements Transport {
  readonly name: string;
  readonly #prefix: string;

  /** @param prefix absolute path, or one relative to the working directory. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.name = `unix:${prefix}`;
  }

  async dial(port: number, options?: DialOptions): Promise<Connection> {
    return dial({ path: unixSocketPath(this.#prefix, checkPort(port)) }, port, options);
  }
}

/** The path on which a host listens for a port. */
export function unixSocketPath(prefix: string, port: number): string {
  return `${prefix}_${port}`;
}
