import type { Logger } from "../../../common/log.ts";
import type { Notification, PayloadOf, RequestOf } from "../../../protocol/codec.ts";
import type { MessageName } from "../../../protocol/messages.ts";
import type { Uvm } from "../../uvm/uvm.ts";
import type { PendingOperations } from "../pending.ts";

/** Returned where no reply is owed. */
export const NO_REPLY = Symbol("no reply");

/** The message's own fields; the bridge adds those that every response has. */
export type Reply<Name extends MessageName> = PayloadOf<Name> | typeof NO_REPLY;

export interface HandlerContext {
  readonly uvm: Uvm;
  readonly log: Logger;
  readonly pending: PendingOperations;
  /** From here on the connection speaks this version. */
  negotiated(version: number): void;
  /** Called when nobody will ever want the answer to this request, whose host is gone; then it need not be waited for. */
  onDropped(drop: () => void): void;
  notify(notification: Notification): void;
  /** Ends the utility VM: everything is killed, and the machine goes down where it is one. */
  shutdown(graceful: boolean): void;
}

/** Request in, response out: a handler knows no socket and no header. What it throws becomes an error reply. */
export type Handler<Name extends MessageName> = (
  context: HandlerContext,
  request: RequestOf<Name>,
) => Reply<Name> | Promise<Reply<Name>>;
