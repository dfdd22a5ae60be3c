import { createServer, type Server, type Socket } from "node:net";
import { AgentError } from "../../errors.ts";

/** A Unix socket that waits for the one connection that QEMU makes when it starts, then is closed. */
export class OneConnection {
  readonly path: string;
  readonly connected: Promise<Socket>;
  readonly #server: Server;
  readonly #connected = Promise.withResolvers<Socket>();

  private constructor(path: string) {
    this.path = path;
    this.connected = this.#connected.promise;
    this.connected.catch(() => {}); // whoever waits is told; at times nobody waits any more
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#connected.resolve(socket);
      this.#server.close();
    });
  }

  /** @throws AgentError SYSTEM_CALL_FAILED */
  static async listen(path: string): Promise<OneConnection> {
    const one = new OneConnection(path);
    await new Promise<void>((resolve, reject) => {
      one.#server.once("error", (cause) =>
        reject(new AgentError("SYSTEM_CALL_FAILED", `cannot listen on ${path}`, { cause })),
      );
      one.#server.listen(path, resolve);
    });
    return one;
  }

  /** Stops waiting. */
  close(reason: AgentError): void {
    this.#connected.reject(reason);
    if (this.#server.listening) this.#server.close();
  }
}
