import type { Duplex } from "node:stream";
import { AgentError } from "../../common/errors.ts";
import type { AcceptOptions, HostListenOptions } from "./host-transport.ts";

/** As many streams wait for accept() before further ones are turned away: Linux's SOMAXCONN of old. */
const BACKLOG = 128;

interface Waiter {
  settle(stream: Duplex): void;
  fail(error: AgentError): void;
}

/** Streams that have come but nobody accepted yet, or callers of accept() for whom none has come yet. */
export class AcceptQueue {
  readonly #label: string;
  readonly #backlog: number;
  /** What has come; an error in place of a stream that was dialled and could not be carried here. */
  readonly #arrivals: (Duplex | AgentError)[] = [];
  readonly #waiters = new Set<Waiter>();
  #closed: AgentError | undefined;

  /** @param label names the listener in errors: "port 1073741824 of unix:/run/x". */
  constructor(label: string, { backlog = BACKLOG }: HostListenOptions = {}) {
    this.#label = label;
    this.#backlog = backlog;
  }

  /** @returns false when the stream was turned away (and destroyed): closed, or too many wait already. */
  push(stream: Duplex): boolean {
    if (this.#closed !== undefined || (this.#waiters.size === 0 && this.#arrivals.length >= this.#backlog)) {
      stream.on("error", ignore);
      stream.destroy();
      return false;
    }
    // Nobody listens to it yet, also where somebody waits for it: a guest that dials and resets in one breath is ahead
    // of the promise. An "error" without a listener would end the process, with all guests of it; so this one stays. The
    // dead stream is still handed out: the guest's dial did succeed, and whoever accepts it must see its end.
    stream.on("error", ignore);
    const waiter = this.#waiters.values().next().value;
    if (waiter !== undefined) {
      this.#waiters.delete(waiter);
      waiter.settle(stream);
      return true;
    }
    this.#arrivals.push(stream);
    return true;
  }

  /** Somebody has dialled and could not be served: who accepts is told, instead of waiting for what will not come. */
  refuse(reason: AgentError): void {
    const waiter = this.#waiters.values().next().value;
    if (waiter !== undefined) waiter.fail(reason);
    else if (this.#closed === undefined && this.#arrivals.length < this.#backlog) this.#arrivals.push(reason);
  }

  async accept(options: AcceptOptions = {}): Promise<Duplex> {
    if (options.signal?.aborted === true) throw this.#aborted(options.signal);
    const ready = this.#arrivals.shift();
    if (ready instanceof AgentError) throw ready;
    if (ready !== undefined) return ready;
    if (this.#closed !== undefined) throw this.#closed;
    return await this.#wait(options);
  }

  /** Rejects who waits and destroys what waits, with `reason`. */
  close(reason?: AgentError): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason ?? new AgentError("TRANSPORT_CLOSED", `${this.#label} is closed`);
    for (const waiter of this.#waiters) waiter.fail(this.#closed);
    this.#waiters.clear();
    for (const arrival of this.#arrivals.splice(0)) if (!(arrival instanceof AgentError)) arrival.destroy();
  }

  #wait({ timeoutMs, signal }: AcceptOptions): Promise<Duplex> {
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    let timer: NodeJS.Timeout | undefined;
    const stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      this.#waiters.delete(waiter);
    };
    const waiter: Waiter = {
      settle: (stream) => {
        stop();
        resolve(stream);
      },
      fail: (error) => {
        stop();
        reject(error);
      },
    };
    const onAbort = () => waiter.fail(this.#aborted(signal));
    signal?.addEventListener("abort", onAbort, { once: true });
    if (timeoutMs !== undefined) {
      timer = setTimeout(() => {
        waiter.fail(new AgentError("TIMEOUT", `nobody dialled ${this.#label} within ${timeoutMs} ms`));
      }, timeoutMs);
    }
    this.#waiters.add(waiter);
    return promise;
  }

  #aborted(signal: AbortSignal | undefined): AgentError {
    return new AgentError("ABORTED", `accept on ${this.#label} was aborted`, { cause: signal?.reason });
  }
}

function ignore(): void {}
