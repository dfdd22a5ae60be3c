import { AgentError } from "../../common/errors.ts";
import type { Notification } from "../../protocol/codec.ts";

/** Who waits for a container's exit notification. Registered before the container is made, so none is missed. */
export class ContainerExits {
  readonly #waiting = new Map<string, PromiseWithResolvers<string>>();
  #unexpected = 0;

  /** Notifications for containers that nobody here made or that had ended already. */
  get unexpected(): number {
    return this.#unexpected;
  }

  /** @throws AgentError SYSTEM_ALREADY_EXISTS */
  register(id: string): Promise<string> {
    if (this.#waiting.has(id)) {
      throw new AgentError("SYSTEM_ALREADY_EXISTS", `container ${id} exists already; choose another id`);
    }
    const exit = Promise.withResolvers<string>();
    // Nobody may care how this container ends; whoever does still sees the rejection.
    exit.promise.catch(() => undefined);
    this.#waiting.set(id, exit);
    return exit.promise;
  }

  /** The container was not made after all. */
  forget(id: string): void {
    this.#waiting.delete(id);
  }

  notify({ ContainerId, Type }: Notification): void {
    const exit = this.#waiting.get(ContainerId);
    if (exit === undefined) {
      this.#unexpected++;
      return;
    }
    this.#waiting.delete(ContainerId);
    exit.resolve(Type);
  }

  fail(reason: AgentError): void {
    for (const [id, exit] of this.#waiting) {
      exit.reject(
        new AgentError("TRANSPORT_CLOSED", `how container ${id} ends is unknown: the guest is gone`, {
          cause: reason,
        }),
      );
    }
    this.#waiting.clear();
  }
}
