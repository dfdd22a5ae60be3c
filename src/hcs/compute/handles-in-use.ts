/** The systems and processes of one service that run and to which a program has a handle. */
export class HandlesInUse {
  readonly #onChange: (isAny: boolean) => void;
  readonly #records = new Set<object>();

  /** @param onChange called with the first one and after the last one */
  constructor(onChange: (isAny: boolean) => void) {
    this.#onChange = onChange;
  }

  /** @param isInUse whether it runs and there is a handle to it */
  set(record: object, isInUse: boolean): void {
    const before = this.#records.size;
    if (isInUse) this.#records.add(record);
    else this.#records.delete(record);
    if ((before === 0) !== (this.#records.size === 0)) this.#onChange(before === 0);
  }
}
