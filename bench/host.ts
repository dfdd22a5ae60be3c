/** The host of a benchmark: as thin as a host can be, so that what is measured is the agent. */
import { type Listener, listen, Socket, setNonBlocking } from "../native/hvsock/index.ts";
import {
  decodeResponse,
  encodeRequestFrame,
  type RequestOf,
  type ResponseOf,
} from "../src/protocol/codec.ts";
import { FrameDecoder, MAXIMUM_SIZE_FROM_GUEST } from "../src/protocol/frame.ts";
import { BRIDGE_PORT, kindOf, type MessageName } from "../src/protocol/messages.ts";

const DEADLINE_MS = 60_000;

interface Waiting {
  readonly name: MessageName;
  readonly resolve: (body: object) => void;
  readonly reject: (error: Error) => void;
}

export class Host {
  readonly #prefix: string;
  readonly #bridgeListener: Listener;
  readonly #waiting = new Map<bigint, Waiting>();
  #bridge: Socket | undefined;
  #nextId = 1n;
  #nextPort = BRIDGE_PORT + 1;

  /** @param prefix guest port P is the socket PREFIX_P. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#bridgeListener = listen({ path: `${prefix}_${BRIDGE_PORT}` });
  }

  /** Waits for the agent's dial and negotiates. */
  async accept(): Promise<void> {
    this.#serve(await this.#bridgeListener.accept({ timeoutMs: DEADLINE_MS }));
    await this.request("NegotiateProtocol", { ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 });
  }

  /** @throws Error for a reply that reports a failure, or none in time. */
  async request<Name extends MessageName>(name: Name, body: RequestOf<Name>): Promise<ResponseOf<Name>> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<object>();
    this.#waiting.set(id, { name, resolve, reject });
    const timer = setTimeout(
      () => reject(new Error(`no reply to ${name} in ${DEADLINE_MS} ms`)),
      DEADLINE_MS,
    );
    try {
      this.#connection.write(encodeRequestFrame(name, id, body));
      const response = (await promise) as ResponseOf<Name> & { Result: number; ErrorMessage?: string };
      if (response.Result !== 0) throw new Error(`${name} failed: ${response.ErrorMessage}`);
      return response;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Listens on a port of its own for one stream. */
  stream(): HostStream {
    const port = this.#nextPort++;
    return new HostStream(port, listen({ path: `${this.#prefix}_${port}` }));
  }

  /** Lends the bridge's descriptor, blocking, to a program that asks in our place until `use` is done. */
  async lend<Value>(use: (fd: number) => Promise<Value>): Promise<Value> {
    const fd = this.#connection.release();
    setNonBlocking(fd, false);
    try {
      return await use(fd);
    } finally {
      this.#serve(new Socket(fd));
    }
  }

  close(): void {
    this.#bridge?.close();
    this.#bridgeListener.close();
  }

  get #connection(): Socket {
    if (this.#bridge === undefined) throw new Error("the agent has not dialled");
    return this.#bridge;
  }

  #serve(socket: Socket): void {
    const decoder = new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_GUEST });
    const fail = (error: Error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    };
    socket.onData = (bytes) =>
      decoder.push(bytes, ({ type, id, body }) => {
        const waiting = kindOf(type) === "response" ? this.#waiting.get(id) : undefined;
        if (waiting === undefined) return;
        try {
          waiting.resolve(decodeResponse(waiting.name, body));
        } catch (error) {
          waiting.reject(error as Error);
        }
      });
    socket.onEnd = () => fail(new Error("the agent closed the bridge"));
    socket.onError = fail;
    socket.resume();
    this.#bridge = socket;
  }
}

/** The host's end of one stdio stream. */
export class HostStream {
  readonly port: number;
  readonly #listener: Listener;

  constructor(port: number, listener: Listener) {
    this.port = port;
    this.#listener = listener;
  }

  /** The connection's descriptor, blocking; the caller owns it. */
  async fd(): Promise<number> {
    try {
      const fd = await this.#listener.acceptFd({ timeoutMs: DEADLINE_MS });
      setNonBlocking(fd, false);
      return fd;
    } finally {
      this.#listener.close();
    }
  }

  /** All that comes until the end. */
  async text(): Promise<string> {
    const socket = new Socket(await this.fd());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let received = "";
    socket.onData = (bytes) => {
      received += bytes.toString();
    };
    socket.onEnd = resolve;
    socket.onError = reject;
    socket.resume();
    await promise.finally(() => socket.close());
    return received;
  }
}
