import type { Duplex } from "node:stream";
import { AgentError } from "../../common/errors.ts";
import {
  decodeNotification,
  decodeResponse,
  encodeRequestFrame,
  isFailure,
  type Notification,
  type RequestOf,
  type ResponseOf,
} from "../../protocol/codec.ts";
import { UVM_CONTAINER_ID } from "../../protocol/container-id.ts";
import type { Frame } from "../../protocol/frame.ts";
import { errorFromResponse, GuestError } from "../../protocol/hresult.ts";
import {
  describeType,
  type MessageName,
  NOTIFICATION_TYPE,
  responseTypeOf,
} from "../../protocol/messages.ts";
import { BridgeLink } from "./bridge-link.ts";
import { PendingRequest, type RequestOptions } from "./pending-request.ts";

/** What the real host allows for a reply: hcsshim, internal/gcs/bridge.go, bridgeFailureTimeout. */
const DEFAULT_REQUEST_TIMEOUT_MS = 5 * 60_000;

/**
 * The last connection may have died with a request on its way. These are asked again over the next one: twice does
 * no harm, and the first answer counts. The others wait for the reply that the guest kept, or their deadline.
 */
const REPEATABLE: ReadonlySet<MessageName> = new Set([
  "WaitForProcess",
  "GetProperties",
  "DumpStacks",
  "ResizeConsole",
]);

export interface HostBridgeOptions {
  /** What it throws ends the connection. */
  readonly onNotification: (notification: Notification) => void;
  /** The connection is lost: now either attach() brings the next one, or fail() ends it all. */
  readonly onLinkLost: (reason: AgentError) => void;
  /** Milliseconds; default 5 minutes. */
  readonly requestTimeoutMs?: number | undefined;
}

/**
 * Requests and replies, over one bridge connection at a time. A new connection is closed to all messages but
 * NegotiateProtocol until open(). Requests outlive a connection: the guest keeps the reply that was ready
 * while it was away, and sends it with the old id.
 */
export class HostBridge {
  readonly #options: HostBridgeOptions;
  readonly #pending = new Map<bigint, PendingRequest>();
  /** Made while there was no negotiated connection. */
  readonly #queued = new Set<PendingRequest>();
  readonly #ended = Promise.withResolvers<AgentError>();
  #link: BridgeLink | undefined;
  #isOpen = false;
  #nextId = 0n;
  #failure: AgentError | undefined;
  #droppedReplies = 0;
  #lastHeard: number | undefined;

  constructor(options: HostBridgeOptions) {
    this.#options = options;
  }

  /** Settles with the reason when the bridge has died. */
  get ended(): Promise<AgentError> {
    return this.#ended.promise;
  }

  get failure(): AgentError | undefined {
    return this.#failure;
  }

  /** When the guest last said anything; milliseconds since 1970. */
  get lastHeard(): number | undefined {
    return this.#lastHeard;
  }

  /** Replies dropped because their request had timed out, was aborted, or had been answered already. */
  get droppedReplies(): number {
    return this.#droppedReplies;
  }

  /** Speaks over `stream` from here on, and owns it. */
  attach(stream: Duplex): void {
    if (this.#failure !== undefined) {
      stream.destroy();
      throw this.#failure;
    }
    this.#link?.close();
    this.#isOpen = false;
    this.#link = new BridgeLink(stream, {
      onFrame: (frame) => this.#receive(frame),
      onLost: (reason) => {
        this.#link = undefined;
        this.#isOpen = false;
        this.#options.onLinkLost(reason);
      },
    });
  }

  /** The connection is negotiated: sends what has waited for it. */
  open(): void {
    this.#isOpen = true;
    for (const request of new Set(this.#pending.values())) {
      if (REPEATABLE.has(request.name)) this.#send(request);
    }
    for (const request of this.#queued) this.#send(request);
    this.#queued.clear();
  }

  /**
   * @returns the body of a reply whose Result is 0.
   * @throws AgentError TIMEOUT, ABORTED; TRANSPORT_CLOSED, naming the message, when the bridge is dead or dies;
   *   the guest's error, by its HRESULT.
   */
  async request<Name extends MessageName>(
    name: Name,
    body: RequestOf<Name>,
    options: RequestOptions = {},
  ): Promise<ResponseOf<Name>> {
    const label = describeRequest(name, body);
    if (this.#failure !== undefined) throw closedError(label, this.#failure);
    const timeoutMs = options.timeoutMs ?? this.#options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
    const request = new PendingRequest(
      { name, body, label },
      { timeoutMs, signal: options.signal },
      this.#forget,
    );
    if (!request.isSettled) {
      if (this.#isOpen || name === "NegotiateProtocol") this.#send(request);
      else this.#queued.add(request);
    }
    // #receive decodes a reply by the name of its request.
    return (await request.reply) as ResponseOf<Name>;
  }

  /** Sends a request to which the guest owes no reply. Nothing is sent without a negotiated connection. */
  post<Name extends MessageName>(name: Name, body: RequestOf<Name>): void {
    if (this.#failure !== undefined) throw closedError(describeRequest(name, body), this.#failure);
    if (this.#isOpen) this.#link?.send(encodeRequestFrame(name, this.#nextId++, body));
  }

  /** Ends the bridge: closes the connection and rejects every pending request. The first reason stays. */
  fail(reason: AgentError): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    this.#isOpen = false;
    this.#link?.close();
    this.#link = undefined;
    for (const request of [...this.#pending.values(), ...this.#queued]) {
      request.fail(closedError(request.label, reason));
    }
    this.#ended.resolve(reason);
  }

  #send(request: PendingRequest): void {
    const id = this.#nextId++;
    let frame: Buffer;
    try {
      frame = encodeRequestFrame(request.name, id, request.body);
    } catch (cause) {
      request.fail(new AgentError("INVALID_ARGUMENT", `${request.label} cannot be sent`, { cause }));
      return;
    }
    request.ids.push(id);
    this.#pending.set(id, request);
    this.#link?.send(frame);
  }

  readonly #forget = (request: PendingRequest): void => {
    this.#queued.delete(request);
    for (const id of request.ids) this.#pending.delete(id);
  };

  #receive(frame: Frame): void {
    this.#lastHeard = Date.now();
    if (frame.type === NOTIFICATION_TYPE) {
      this.#options.onNotification(decodeNotification(frame.body));
      return;
    }
    const request = this.#pending.get(frame.id);
    if (request === undefined) {
      if (frame.id >= this.#nextId) {
        throw new AgentError("INVALID_DATA", `an answer to message ${frame.id}, which was never sent`);
      }
      this.#droppedReplies++;
      return;
    }
    if (frame.type !== responseTypeOf(request.name)) {
      throw new AgentError("UNKNOWN_MESSAGE", `${describeType(frame.type)} in answer to ${request.label}`);
    }
    try {
      const reply = decodeResponse(request.name, frame.body);
      if (isFailure(reply)) throw errorFromResponse(reply, request.label);
      request.succeed(reply);
    } catch (error) {
      request.fail(asAgentError(error));
      if (!(error instanceof GuestError)) throw error;
    }
  }
}

function describeRequest(name: MessageName, body: { ContainerId: string }): string {
  const isUvm = body.ContainerId === UVM_CONTAINER_ID || body.ContainerId === "";
  return `${name} for ${isUvm ? "the utility VM" : `container ${body.ContainerId}`}`;
}

function closedError(label: string, reason: AgentError): AgentError {
  return new AgentError("TRANSPORT_CLOSED", `${label} has no answer: the connection to the guest is gone`, {
    cause: reason,
  });
}

function asAgentError(error: unknown): AgentError {
  return error instanceof AgentError
    ? error
    : new AgentError("INTERNAL", "a reply was not understood", { cause: error });
}
