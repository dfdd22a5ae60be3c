/**
 * Undo steps, run last in first out. An operation of several steps pushes the undo of each step once the step is
 * done; on success it calls release(), on failure run().
 */
export class CleanupStack {
  #steps: { readonly what: string; readonly undo: () => void | Promise<void> }[] = [];

  /** @param what names the step in the report of a failed undo: "remove /run/x". */
  push(what: string, undo: () => void | Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  /** Forgets all steps: what was done stays. */
  release(): void {
    this.#steps = [];
  }

  /**
   * Undoes all steps, each of them even when another fails, and forgets them.
   * @returns what could not be undone; an empty list when all went well. It never throws, so that the error that
   *   led here is the one that gets reported.
   */
  async run(): Promise<CleanupFailure[]> {
    const failures: CleanupFailure[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (cause) {
        failures.push({ what: step.what, cause });
      }
    }
    return failures;
  }
}

export interface CleanupFailure {
  readonly what: string;
  readonly cause: unknown;
}
