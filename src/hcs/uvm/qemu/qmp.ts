import { once } from "node:events";
import type { Socket } from "node:net";
import { sendFd } from "../../../../native/hvsock/index.ts";
import { AgentError } from "../../../common/errors.ts";
import { descriptorOf } from "../../transport/socket-descriptor.ts";

/** QEMU answers within milliseconds; under load on a small machine a busy main loop takes longer. */
const ANSWER_TIMEOUT_MS = 20_000;

/** No answer that is asked for here comes near it. */
const MAX_LINE = 4 * 1024 * 1024;

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Waiting {
  settle(value: unknown): void;
  fail(error: AgentError): void;
}

/** QEMU's machine protocol: JSON lines, ended by CR LF, over a socket; docs/interop/qmp-spec in QEMU's sources. */
export class QmpClient {
  readonly #socket: Socket;
  readonly #onEvent: (event: QmpEvent) => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #greeted = Promise.withResolvers<void>();
  /** The beginning of a line whose end has not come yet. */
  #partial = "";
  #nextId = 1;
  #closed: AgentError | undefined;

  private constructor(socket: Socket, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#partial + text).split("\r\n");
      this.#partial = lines.pop() ?? "";
      try {
        for (const line of lines) this.#take(line);
      } catch (cause) {
        this.#close("spoke no JSON", cause);
      }
      if (this.#partial.length > MAX_LINE) this.#close(`sent a line of more than ${MAX_LINE} characters`);
    });
    socket.on("error", (cause) => this.#close("failed", cause));
    socket.on("close", () => this.#close("was closed"));
  }

  /** Takes the greeting and leaves negotiation mode. @param socket connected to QEMU, owned from here. */
  static async open(socket: Socket, onEvent: (event: QmpEvent) => void): Promise<QmpClient> {
    const client = new QmpClient(socket, onEvent);
    await client.#greeted.promise;
    await client.execute("qmp_capabilities");
    return client;
  }

  /**
   * @param fd a descriptor that goes along with the command; stays the caller's
   * @throws AgentError HELPER_FAILED with QEMU's words, HELPER_TIMEOUT, TRANSPORT_CLOSED
   */
  async execute(command: string, parameters?: object, fd?: number): Promise<unknown> {
    if (this.#closed !== undefined) throw this.#closed;
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      reject(
        new AgentError("HELPER_TIMEOUT", `QEMU did not answer ${command} within ${ANSWER_TIMEOUT_MS} ms`),
      );
    }, ANSWER_TIMEOUT_MS);
    this.#waiting.set(id, {
      settle: resolve,
      fail: (error) => reject(new AgentError(error.code, `QEMU refused ${command}: ${error.message}`)),
    });
    try {
      await this.#send(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`, fd);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  async #send(line: string, fd: number | undefined): Promise<void> {
    if (fd === undefined) {
      this.#socket.write(line);
      return;
    }
    // Node sends no descriptors: this line goes past it, behind all that it has to send.
    await new Promise<void>((resolve) => this.#socket.write("", () => resolve()));
    if (this.#closed !== undefined) throw this.#closed;
    sendFd(descriptorOf(this.#socket), fd, line);
  }

  /** Settles when QEMU has gone or is disconnected. */
  async close(): Promise<void> {
    if (this.#socket.closed) return;
    const closed = once(this.#socket, "close");
    this.#socket.destroy();
    await closed;
  }

  #take(line: string): void {
    const message: unknown = JSON.parse(line);
    if (!isRecord(message)) return;
    if ("QMP" in message) this.#greeted.resolve();
    if (typeof message.event === "string") {
      this.#onEvent({ event: message.event, data: isRecord(message.data) ? message.data : {} });
    }
    if (typeof message.id !== "number") return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (isRecord(message.error)) {
      waiting?.fail(new AgentError("HELPER_FAILED", String(message.error.desc ?? "no reason given")));
    } else {
      waiting?.settle(message.return);
    }
  }

  #close(how: string, cause?: unknown): void {
    if (this.#closed !== undefined) return;
    this.#closed = new AgentError("TRANSPORT_CLOSED", `QEMU's control socket ${how}`, { cause });
    this.#greeted.reject(this.#closed);
    this.#greeted.promise.catch(() => {});
    this.#partial = "";
    this.#socket.destroy();
    for (const waiting of this.#waiting.values()) waiting.fail(this.#closed);
    this.#waiting.clear();
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
