import { connect, type Socket } from "node:net";
import { parseJson } from "../../../src/common/json.ts";
import {
  encodeErrorFrame,
  encodeNotificationFrame,
  encodeResponseFrame,
  type ResponseOf,
} from "../../../src/protocol/codec.ts";
import { FrameDecoder, MAXIMUM_SIZE_FROM_HOST } from "../../../src/protocol/frame.ts";
import {
  BRIDGE_PORT,
  type MessageName,
  messageNameOf,
  requestTypeOf,
} from "../../../src/protocol/messages.ts";

export interface ReceivedRequest {
  readonly name: MessageName;
  readonly id: bigint;
  readonly body: Record<string, unknown>;
}

/** The guest's end of a bridge, told by a test what to say: for what a sound agent never does. */
export class FakeGuest {
  readonly received: ReceivedRequest[] = [];
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  static async dial(prefix: string): Promise<FakeGuest> {
    const socket = connect(`${prefix}_${BRIDGE_PORT}`);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new FakeGuest(socket);
  }

  /** Dials and negotiates. */
  static async negotiated(prefix: string): Promise<FakeGuest> {
    const guest = await FakeGuest.dial(prefix);
    const { id } = await guest.next("NegotiateProtocol");
    guest.negotiate(id);
    return guest;
  }

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    const decoder = new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_HOST });
    socket.on("data", (chunk: Buffer) => {
      decoder.push(chunk, ({ type, id, body }) => {
        const name = messageNameOf(type);
        if (name === undefined) throw new Error(`the host sent an unknown type ${type}`);
        this.received.push({ name, id, body: parseJson(body.toString()) as Record<string, unknown> });
      });
      for (const wake of this.#waiting) wake();
    });
  }

  /** The next request in order of arrival, which must be of this name. */
  async next(name: MessageName): Promise<ReceivedRequest> {
    while (this.received.length === this.#taken) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
    const request = this.received[this.#taken++];
    if (request?.name !== name) throw new Error(`expected ${name}, the host sent ${request?.name}`);
    return request;
  }

  negotiate(id: bigint): void {
    this.answer("NegotiateProtocol", id, { Result: 0, Version: 4, Capabilities: { RuntimeOsType: "Linux" } });
  }

  answer<Name extends MessageName>(name: Name, id: bigint, response: ResponseOf<Name>): void {
    this.socket.write(encodeResponseFrame(name, id, response));
  }

  refuse(name: MessageName, id: bigint, error: Error): void {
    this.socket.write(encodeErrorFrame(requestTypeOf(name), id, error));
  }

  notifyExit(containerId: string, type: string): void {
    this.socket.write(
      encodeNotificationFrame({ ContainerId: containerId, Type: type, Operation: "None", Result: 0 }),
    );
  }
}

/** Dials a stdio port of the host. */
export async function dialPort(prefix: string, port: number): Promise<Socket> {
  const socket = connect({ path: `${prefix}_${port}`, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}
