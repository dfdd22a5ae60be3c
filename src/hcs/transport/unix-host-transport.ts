import { chmodSync } from "node:fs";
import { lstat, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { AgentError } from "../../common/errors.ts";
import { checkPort } from "../../common/port.ts";
import { AcceptQueue } from "./accept-queue.ts";
import type { HostListener, HostListenOptions, HostTransport } from "./host-transport.ts";
import { LoopHolder } from "./loop-holder.ts";

/** sizeof(sockaddr_un.sun_path) less the terminating NUL; unix(7). */
const MAX_PATH_BYTES = 108 - 1;

/**
 * Unix sockets instead of vsock, for an agent that runs without a VM: guest port P is the socket `PREFIX_P`
 * (Firecracker's convention), mode 0600.
 */
export class UnixHostTransport implements HostTransport {
  readonly name: string;
  readonly #prefix: string;
  readonly #listeners = new Map<number, UnixListener>();
  readonly #sockets = new Set<Socket>();
  readonly #holder = new LoopHolder();
  #closed: AgentError | undefined;

  /** @param prefix absolute path; its directory must exist. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.name = `unix:${prefix}`;
  }

  async listen(port: number, options: HostListenOptions = {}): Promise<HostListener> {
    if (this.#closed !== undefined) throw this.#closed;
    checkPort(port);
    if (this.#listeners.has(port)) {
      throw new AgentError("INVALID_ARGUMENT", `port ${port} of ${this.name} is listened on already`);
    }
    const queue = new AcceptQueue(`port ${port} of ${this.name}`, options);
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: false }, (socket) => {
      this.#sockets.add(socket);
      this.#holder.add(socket);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        this.#holder.delete(socket);
      });
      queue.push(socket);
    });
    this.#holder.add(server);
    const listener = new UnixListener(port, server, queue, () => {
      this.#listeners.delete(port);
      this.#holder.delete(server);
    });
    this.#listeners.set(port, listener);
    try {
      await listenOn(server, `${this.#prefix}_${port}`);
    } catch (cause) {
      this.#listeners.delete(port);
      this.#holder.delete(server);
      throw cause;
    }
    if (this.#closed !== undefined) {
      await listener.close(this.#closed);
      throw this.#closed;
    }
    return listener;
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#holder.setKeepsLoopAlive(on);
  }

  async close(reason?: AgentError): Promise<void> {
    this.#closed ??= reason ?? new AgentError("TRANSPORT_CLOSED", `${this.name} is closed`);
    const error = this.#closed;
    for (const socket of this.#sockets) socket.destroy(error);
    await Promise.all([...this.#listeners.values()].map((listener) => listener.close(error)));
  }
}

class UnixListener implements HostListener {
  readonly port: number;
  readonly #server: Server;
  readonly #queue: AcceptQueue;
  readonly #forget: () => void;

  constructor(port: number, server: Server, queue: AcceptQueue, forget: () => void) {
    this.port = port;
    this.#server = server;
    this.#queue = queue;
    this.#forget = forget;
  }

  accept(options?: { timeoutMs?: number; signal?: AbortSignal }) {
    return this.#queue.accept(options);
  }

  async close(reason?: AgentError): Promise<void> {
    this.#forget();
    this.#queue.close(reason);
    // Takes the socket file away at once. Its callback would wait for the accepted streams, which live on.
    if (this.#server.listening) this.#server.close();
  }
}

async function listenOn(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `socket path ${path} is longer than ${MAX_PATH_BYTES} bytes; choose a shorter prefix`,
    );
  }
  try {
    await bind(server, path);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "EADDRINUSE" && (await isStale(path))) {
      await unlink(path);
      await bind(server, path);
      return;
    }
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot listen on ${path}`, { cause });
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      chmodSync(path, 0o600);
      resolve();
    });
  });
}

/** A socket file that its dead listener left behind refuses connections; a living one's does not. */
async function isStale(path: string): Promise<boolean> {
  // connect(2) refuses any other file in the same way.
  if (!(await lstat(path)).isSocket()) return false;
  return await new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(false);
    });
    probe.once("error", (error) => {
      probe.destroy();
      resolve("code" in error && error.code === "ECONNREFUSED");
    });
  });
}
