import type { GuestProcess } from "../guest/guest-process.ts";
import { ProcessError } from "./errors.ts";
import type { HandlesInUse } from "./handles-in-use.ts";

/** One process, whatever number of handles there are to it. */
export class ProcessRecord {
  readonly systemId: string;
  readonly guest: GuestProcess;
  /** Settles with the exit code; rejects with a ProcessError when it will never be known. */
  readonly exited: Promise<number>;
  readonly #inUse: HandlesInUse;
  readonly #onGone: () => void;
  #handles = 0;
  #exitCode: number | undefined;
  #failure: ProcessError | undefined;

  /**
   * @param inUse told whether the process runs and has a handle
   * @param onGone called once, when the process has ended and nobody has a handle any more
   */
  constructor(systemId: string, guest: GuestProcess, inUse: HandlesInUse, onGone: () => void) {
    this.#inUse = inUse;
    this.#onGone = onGone;
    this.systemId = systemId;
    this.guest = guest;
    this.exited = guest.wait().then(
      (code) => {
        this.#exitCode = code;
        return code;
      },
      (cause: unknown) => {
        this.#failure = new ProcessError(systemId, guest.pid, "hcs::Process::Wait", cause);
        throw this.#failure;
      },
    );
    const forget = () => this.#forgetUnused();
    this.exited.then(forget, forget);
  }

  addHandle(): void {
    this.#handles++;
    this.#inUse.set(this, !this.#hasEnded && this.#handles > 0);
  }

  removeHandle(): void {
    this.#handles--;
    this.#forgetUnused();
  }

  get pid(): number {
    return this.guest.pid;
  }

  /** Absent while it runs, and when it will never be known. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Why the exit code will never be known. */
  get failure(): ProcessError | undefined {
    return this.#failure;
  }

  get #hasEnded(): boolean {
    return this.#exitCode !== undefined || this.#failure !== undefined;
  }

  #forgetUnused(): void {
    this.#inUse.set(this, !this.#hasEnded && this.#handles > 0);
    if (this.#hasEnded && this.#handles === 0) this.#onGone();
  }
}
