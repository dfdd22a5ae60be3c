/**
 * The agent's end of the bridge: requests in, replies and notifications out, over one connection after another.
 * Requests run concurrently; a reply never waits for an unrelated one. Replies that are ready while no host is
 * connected, or that a lost connection did not take, are sent once the next connection has negotiated.
 */
import { AgentError, describeError } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";
import {
  activityIdOf,
  decodeRequest,
  encodeErrorFrame,
  encodeNotificationFrame,
  encodeResponseFrame,
  type Notification,
  type PayloadOf,
  type RequestOf,
  type ResponseOf,
} from "../../protocol/codec.ts";
import { type Frame, MAXIMUM_SIZE_FROM_HOST, type OversizedFrame } from "../../protocol/frame.ts";
import { describeType, kindOf, type MessageName, messageNameOf } from "../../protocol/messages.ts";
import type { Uvm } from "../uvm/uvm.ts";
import { BridgeConnection, type ByteStream, type Outgoing } from "./connection.ts";
import { type Handler, type HandlerContext, NO_REPLY } from "./handlers/handler.ts";
import { afterNegotiation, beforeNegotiation } from "./handlers/table.ts";
import { PendingOperations } from "./pending.ts";
import { loggable, scrub } from "./scrub.ts";
import { type OpenWait, OrphanedWaits, Session } from "./session.ts";

export interface BridgeOptions {
  readonly uvm: Uvm;
  readonly log: Logger;
  /** Whether requests in the log (at level trace) are without environments, command lines and annotations. */
  readonly scrubLogs: boolean;
  /** The host asked for the end of the utility VM. */
  readonly onShutdown: (graceful: boolean) => void;
}

export class Bridge {
  readonly #options: BridgeOptions;
  readonly #pending = new PendingOperations();
  #connection: BridgeConnection | undefined;
  #session = new Session();
  /** Of this session. */
  readonly #waits = new Set<OpenWait>();
  readonly #orphans = new OrphanedWaits();
  #holding: NodeJS.Timeout | undefined;
  /** In their order; what a lost connection did not take stands before what came later. */
  #waiting: Outgoing[] = [];

  constructor(options: BridgeOptions) {
    this.#options = options;
  }

  /**
   * Serves one connection until it ends.
   * @returns why it ended, for the log.
   */
  async serve(stream: ByteStream): Promise<Error | undefined> {
    const connection = new BridgeConnection(stream);
    this.#connection = connection;
    this.#session.negotiated = false;
    try {
      return await connection.serve(
        (frame) => this.#onFrame(frame),
        (frame) => this.#onOversized(frame),
      );
    } finally {
      this.#waiting = connection.takeUnsent().concat(this.#waiting);
      this.#connection = undefined;
      this.#session.negotiated = false;
    }
  }

  notify(notification: Notification): void {
    const containerId = notification.ContainerId;
    const frame = encodeNotificationFrame(notification);
    this.#waiting.push({ kind: "notification", frame, containerId });
    this.#sendWaiting();
  }

  #onFrame(frame: Frame): void {
    const name = kindOf(frame.type) === "request" ? messageNameOf(frame.type) : undefined;
    const { negotiated } = this.#session;
    const handler = this.#handlerFor(name, negotiated);
    if (name === undefined || handler === undefined) {
      const error = new AgentError(
        "UNKNOWN_MESSAGE",
        name !== undefined && !negotiated
          ? `${name} before NegotiateProtocol`
          : `no request is known by the type ${describeType(frame.type)}`,
      );
      this.#refuse(frame, error);
      return;
    }
    if (!negotiated) this.#beginSession(frame.id);
    this.#dispatch(name, handler, frame);
  }

  #onOversized({ type, id, size }: OversizedFrame): void {
    const error = new AgentError(
      "INVALID_ARGUMENT",
      `a request of ${size} bytes is refused: this guest takes ${MAXIMUM_SIZE_FROM_HOST} at most`,
    );
    this.#refuse({ type, id, body: Buffer.alloc(0) }, error);
  }

  #handlerFor(name: MessageName | undefined, negotiated: boolean): Handler<MessageName> | undefined {
    if (name === undefined) return undefined;
    const table: Partial<Record<MessageName, unknown>> = negotiated ? afterNegotiation : beforeNegotiation;
    // Each handler takes the request of its own name, which is the name it is looked up by.
    return table[name] as Handler<MessageName> | undefined;
  }

  /** What an earlier host asked for is nobody's from here: see session.ts. */
  #beginSession(id: bigint): void {
    const session = this.#session;
    if (!session.isEndedBy(id)) return;
    if (session.isUsed) this.#orphans.dropUnclaimed(session);
    const kept: Outgoing[] = [];
    let dropped = 0;
    for (const outgoing of this.#waiting) {
      if (outgoing.kind === "notification") kept.push(outgoing);
      else if (outgoing.wait === undefined) dropped++;
      else this.#orphans.add(Object.assign(outgoing.wait, { answer: outgoing.frame }));
    }
    if (dropped > 0) this.#options.log.warn({ count: dropped }, "replies to an earlier host were dropped");
    this.#waiting = kept;
    for (const wait of this.#waits) this.#orphans.add(wait);
    this.#waits.clear();
    // Requests of the earlier host that are still at work hold its session, and see that it is over.
    this.#session = new Session(session);
  }

  #dispatch(name: MessageName, handler: Handler<MessageName>, frame: Frame): void {
    const { log } = this.#options;
    const { type, id } = frame;
    let request: RequestOf<MessageName>;
    try {
      this.#pending.checkRoom(name);
      request = decodeRequest(name, frame.body);
    } catch (error) {
      this.#refuse(frame, error);
      return;
    }
    if (log.isLevelEnabled("trace")) {
      log.trace(
        { request: name, message: this.#options.scrubLogs ? scrub(request) : loggable(request) },
        "request",
      );
    }
    const session = this.#session;
    const connection = this.#connection;
    const containerId = "ContainerId" in request ? (request.ContainerId ?? "") : "";
    // Who has named a container may hear of its end, once this is answered.
    if (session.note(id, containerId) && this.#waiting.length > 0) setImmediate(() => this.#sendWaiting());
    const wait = this.#openWait(session, name, request);
    const operation = this.#pending.add(
      name,
      id,
      containerId,
      "ProcessId" in request ? request.ProcessId : undefined,
    );
    const finish = (payload: PayloadOf<MessageName> | typeof NO_REPLY) => {
      this.#pending.delete(operation);
      if (log.isLevelEnabled("debug")) {
        log.debug(requestFields(operation, request), "request done");
      }
      if (payload === NO_REPLY) return;
      const { ActivityId } = request;
      const response = ActivityId ? { ActivityId, Result: 0, ...payload } : { Result: 0, ...payload };
      this.#reply({
        ...{ session, cameBy: connection, wait },
        frame: encodeResponseFrame(name, id, response as ResponseOf<MessageName>),
      });
    };
    const fail = (error: unknown) => {
      this.#pending.delete(operation);
      if (wait?.wasDropped) return;
      log.warn({ ...requestFields(operation, request), error: describeError(error) }, "request failed");
      const frame = encodeErrorFrame(type, id, error, request.ActivityId);
      this.#reply({ session, cameBy: connection, wait, frame });
    };
    if (wait !== undefined) {
      for (const frame of this.#orphans.claim(session, containerId, wait.processId))
        this.#reply({ session, cameBy: connection, wait: undefined, frame });
    }
    try {
      const reply = handler(this.#context(session, wait), request);
      if (reply instanceof Promise) reply.then(finish).catch(fail);
      else finish(reply);
    } catch (error) {
      fail(error);
    }
  }

  #refuse(frame: Frame, error: unknown): void {
    const type = describeType(frame.type);
    this.#options.log.warn({ type, id: String(frame.id), error: describeError(error) }, "request refused");
    const session = this.#session;
    session.note(frame.id, "");
    this.#reply({
      ...{ session, cameBy: this.#connection, wait: undefined },
      frame: encodeErrorFrame(frame.type, frame.id, error, activityIdOf(frame.body)),
    });
  }

  #openWait(session: Session, name: MessageName, request: RequestOf<MessageName>): OpenWait | undefined {
    if (name !== "WaitForProcess" || !("ProcessId" in request)) return undefined;
    const { ContainerId = "", ProcessId } = request;
    const wait: OpenWait = { containerId: ContainerId, processId: ProcessId, claimedBy: session };
    this.#waits.add(wait);
    return wait;
  }

  #context(session: Session, wait: OpenWait | undefined): HandlerContext {
    return {
      uvm: this.#options.uvm,
      log: this.#options.log,
      pending: this.#pending,
      negotiated: () => {
        session.negotiated = true;
        // The reply to the negotiation goes first, then what waited for this host.
        setImmediate(() => this.#sendWaiting());
        clearTimeout(this.#holding);
        this.#holding = setTimeout(() => this.#sendWaiting(), session.begin() + 1);
        this.#holding.unref();
      },
      onDropped: (drop) => {
        if (wait !== undefined) wait.drop = drop;
      },
      notify: (notification) => this.notify(notification),
      shutdown: (graceful) => this.#options.onShutdown(graceful),
    };
  }

  #sendWaiting(): void {
    const session = this.#session;
    const { negotiated } = session;
    const connection = this.#connection;
    if (connection === undefined || !negotiated) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const outgoing of waiting) {
      const isHeld = outgoing.kind === "notification" && !session.takesNotification(outgoing.containerId);
      if (isHeld) this.#waiting.push(outgoing);
      else connection.send(outgoing);
    }
  }

  #reply(reply: Reply): void {
    const { session, cameBy, frame, wait } = reply;
    if (wait !== undefined) {
      this.#waits.delete(wait);
      if (wait.claimedBy === this.#session) this.#orphans.delete(wait);
    }
    if ((wait?.claimedBy ?? session) !== this.#session) {
      if (wait !== undefined) wait.answer = frame;
      else this.#options.log.warn({}, "a reply to an earlier host was dropped");
      return;
    }
    const { negotiated } = this.#session;
    const connection = this.#connection;
    const outgoing: Outgoing = { kind: "reply", frame, wait };
    if (connection !== undefined && (negotiated || connection === cameBy)) connection.send(outgoing);
    else this.#waiting.push(outgoing);
  }
}

interface Reply {
  /** Of the request. */
  readonly session: Session;
  /** The connection of the request: the only one that gets its reply before negotiation. */
  readonly cameBy: BridgeConnection | undefined;
  readonly frame: Buffer;
  /** What a WaitForProcess is known by beyond its session. */
  readonly wait: OpenWait | undefined;
}

/** What a log line says of a request: never its body, which may hold secrets. */
function requestFields(
  operation: { name: string; messageId: bigint; containerId: string; startedAt: number },
  request: { ActivityId?: string | undefined; otsc?: Record<string, string> | undefined },
): object {
  const [, traceId, spanId] = request.otsc?.traceparent?.split("-") ?? [];
  return {
    request: operation.name,
    messageId: String(operation.messageId),
    cid: operation.containerId,
    activityId: request.ActivityId,
    ...(traceId === undefined ? {} : { traceID: traceId, spanID: spanId }),
    durationMs: Math.round((performance.now() - operation.startedAt) * 1000) / 1000,
  };
}
