import { withDeadline } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type { CallOptions } from "./cow.ts";
import {
  ErrHandleClose,
  ErrInvalidNotificationType,
  ErrUnexpectedContainerExit,
  ErrUnexpectedProcessAbort,
} from "./error-codes.ts";
import { HcsNotification, notificationName, SYSTEM_NOTIFICATIONS } from "./notifications.ts";

export interface WaitOptions extends CallOptions {
  /** Milliseconds; default for ever. */
  readonly timeoutMs?: number;
}

/** One system's notifications: what has happened stays, so that who asks later is answered at once. */
export class NotificationHub {
  readonly #happened = new Map<HcsNotification, PromiseWithResolvers<void>>();

  constructor() {
    for (const type of SYSTEM_NOTIFICATIONS) {
      const happened = Promise.withResolvers<void>();
      // Most notifications are waited for by nobody.
      happened.promise.catch(() => undefined);
      this.#happened.set(type, happened);
    }
  }

  /** @param error why the operation failed that the notification is about */
  notify(type: HcsNotification, error?: Error): void {
    const happened = this.#happened.get(type);
    if (error === undefined) happened?.resolve();
    else happened?.reject(error);
  }

  /**
   * Waits until it has happened.
   * @param closed settles when the handle is closed that waits
   * @throws the failed operation's error; ErrUnexpectedContainerExit when the system exits first;
   *   ErrUnexpectedProcessAbort when the guest is lost first; ErrHandleClose; ErrInvalidNotificationType;
   *   AgentError TIMEOUT, ABORTED
   */
  async wait(type: HcsNotification, closed: Promise<void>, options: WaitOptions = {}): Promise<void> {
    const expected = this.#happened.get(type);
    if (expected === undefined) throw ErrInvalidNotificationType;
    const exited = this.#of(HcsNotification.SystemExited);
    const lost = this.#of(HcsNotification.ServiceDisconnect);
    const fail = (error: Error) => () => Promise.reject(error);
    const racers = [expected.promise];
    if (type !== HcsNotification.SystemExited) racers.push(exited.then(fail(ErrUnexpectedContainerExit)));
    if (type !== HcsNotification.ServiceDisconnect) racers.push(lost.then(fail(ErrUnexpectedProcessAbort)));
    racers.push(closed.then(fail(ErrHandleClose)));
    const what = `waiting for ${notificationName(type)}`;
    await withDeadline(Promise.race(racers), what, options);
  }

  #of(type: HcsNotification): Promise<void> {
    const { promise } = this.#happened.get(type) ?? {};
    if (promise === undefined) throw new AgentError("INTERNAL", `no notification ${notificationName(type)}`);
    return promise;
  }
}
