import { LONGEST_TIMER_MS } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type { RequestOf, ResponseOf } from "../../protocol/codec.ts";
import type { MessageName } from "../../protocol/messages.ts";

export interface RequestOptions {
  /** Milliseconds until TIMEOUT; a reply that comes later is dropped. 0: as long as the bridge lives. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Reply = ResponseOf<MessageName>;

/** One request that waits for its reply; settles once, with the reply, its deadline, an abort or fail(). */
export class PendingRequest {
  readonly name: MessageName;
  readonly body: RequestOf<MessageName>;
  /** "ExecuteProcess of container c1", for errors. */
  readonly label: string;
  /** The ids it was sent with: more than one after a reconnect, none before it was sent. */
  readonly ids: bigint[] = [];
  readonly reply: Promise<Reply>;
  readonly #settle: { resolve(reply: Reply): void; reject(error: AgentError): void };
  readonly #onSettled: (request: PendingRequest) => void;
  readonly #signal: AbortSignal | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isSettled = false;

  /** @param onSettled called once, before the reply settles. */
  constructor(
    what: { name: MessageName; body: RequestOf<MessageName>; label: string },
    options: { timeoutMs: number; signal: AbortSignal | undefined },
    onSettled: (request: PendingRequest) => void,
  ) {
    this.name = what.name;
    this.body = what.body;
    this.label = what.label;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.reply = promise;
    this.#settle = { resolve, reject };
    this.#onSettled = onSettled;
    this.#signal = options.signal;
    if (options.timeoutMs > 0)
      this.#timer = setTimeout(
        this.#onTimeout,
        Math.min(options.timeoutMs, LONGEST_TIMER_MS),
        options.timeoutMs,
      );
    if (this.#signal?.aborted === true) this.#onAbort();
    else this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  succeed(reply: Reply): void {
    if (this.#finish()) this.#settle.resolve(reply);
  }

  fail(error: AgentError): void {
    if (this.#finish()) this.#settle.reject(error);
  }

  #finish(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#onSettled(this);
    return true;
  }

  readonly #onAbort = () => {
    this.fail(new AgentError("ABORTED", `${this.label} was aborted`, { cause: this.#signal?.reason }));
  };

  readonly #onTimeout = (timeoutMs: number) => {
    this.fail(new AgentError("TIMEOUT", `the guest did not answer ${this.label} within ${timeoutMs} ms`));
  };
}
