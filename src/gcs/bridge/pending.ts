/** What the bridge is working on, so that a stack dump can say what hangs. */
export interface PendingOperation {
  readonly name: string;
  readonly messageId: bigint;
  readonly containerId: string;
  /** performance.now() at its start, milliseconds. */
  readonly startedAt: number;
}

export class PendingOperations {
  readonly #operations = new Set<PendingOperation>();

  add(name: string, messageId: bigint, containerId: string): PendingOperation {
    const operation = { name, messageId, containerId, startedAt: performance.now() };
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
