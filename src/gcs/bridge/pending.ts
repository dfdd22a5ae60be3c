import { AgentError } from "../../common/errors.ts";

/** What the bridge is working on, so that a stack dump can say what hangs. */
export interface PendingOperation {
  readonly name: string;
  readonly messageId: bigint;
  readonly containerId: string;
  /** Of a request about one process. */
  readonly processId: number | undefined;
  /** performance.now() at its start, milliseconds. */
  readonly startedAt: number;
}

/** Requests at work at once, of some hundred bytes each. */
const MOST_PENDING = 16_384;
/** Those that can wait long, or cost much. The others end, signal and ask: they are what helps a guest that is too busy. */
const BOUNDED: ReadonlySet<string> = new Set([
  "Create",
  "ExecuteProcess",
  "WaitForProcess",
  "ModifySettings",
]);

export class PendingOperations {
  readonly #operations = new Set<PendingOperation>();

  /** @throws AgentError INVALID_STATE for a request that has no room beside those that are at work */
  checkRoom(name: string): void {
    if (this.#operations.size < MOST_PENDING || !BOUNDED.has(name)) return;
    throw new AgentError(
      "INVALID_STATE",
      `${name} is refused: ${this.#operations.size} requests are at work already, and ${MOST_PENDING} are the most; wait for their answers`,
    );
  }

  add(name: string, messageId: bigint, containerId: string, processId?: number): PendingOperation {
    const operation = { name, messageId, containerId, processId, startedAt: performance.now() };
    this.#operations.add(operation);
    return operation;
  }

  delete(operation: PendingOperation): void {
    this.#operations.delete(operation);
  }

  [Symbol.iterator](): Iterator<PendingOperation> {
    return this.#operations.values();
  }
}
