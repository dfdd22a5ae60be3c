import { openSync } from "node:fs";
import { AgentError } from "../common/errors.ts";
import { checkPort } from "../common/port.ts";
import { SocketConnection } from "./socket-connection.ts";
import type { Connection, DialOptions, Transport } from "./transport.ts";

/** No host: reads end at once, what is written is discarded. For development and tests. */
export class NullTransport implements Transport {
  readonly name = "null";

  async dial(port: number, options: DialOptions = {}): Promise<Connection> {
    checkPort(port);
    if (options.signal?.aborted) {
      throw new AgentError("ABORTED", `dial on port ${port} was given up`, { cause: options.signal.reason });
    }
    return new NullConnection();
  }
}

/** /dev/null: there is nobody to shut a half down for. */
class NullConnection extends SocketConnection {
  constructor() {
    super(openSync("/dev/null", "r+"));
  }

  override shutdown(): void {}
}
