import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

/** A host's log listener: Unix sockets prefix_PORT, as the test build of vsockexec dials. */
export class LogHost {
  readonly #directory = mkdtempSync(path.join(tmpdir(), "vsockexec-"));
  readonly #servers = new Map<number, Server>();
  readonly #sockets = new Set<Socket>();
  /** What came in, one string a connection, in the order of the connections. */
  readonly received: string[] = [];
  /** Called for each new connection; by default all of it is read. */
  onConnection: (socket: Socket) => void = (socket) => void this.collect(socket);

  get prefix(): string {
    return path.join(this.#directory, "p");
  }

  async listen(port: number): Promise<void> {
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      this.onConnection(socket);
    });
    this.#servers.set(port, server);
    server.listen(`${this.prefix}_${port}`);
    await once(server, "listening");
  }

  collect(socket: Socket): void {
    const index = this.received.push("") - 1;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      this.received[index] += text;
    });
  }

  /** Stops listening and cuts every connection. */
  async stop(port: number): Promise<void> {
    const server = this.#servers.get(port);
    this.#servers.delete(port);
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    if (server) {
      server.close();
      await once(server, "close");
    }
  }

  async close(): Promise<void> {
    for (const port of [...this.#servers.keys()]) await this.stop(port);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
