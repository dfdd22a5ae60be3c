/**
 * What every container and every process can do, whether a compute system or a guest's own: the interfaces of
 * hcsshim's package internal/cow. Where Go takes a context, these take `{ signal }`.
 */
import type { Readable, Writable } from "node:stream";
import type { ContainerProperties, PropertyTypeV1 } from "./documents/schema1.ts";
import type {
  ModifySettingRequest,
  ProcessParameters,
  Properties,
  PropertyTypeV2,
} from "./documents/schema2.ts";

export interface CallOptions {
  /** Ends the wait for an answer, not what was asked for: the error's reason is the signal's. */
  readonly signal?: AbortSignal;
}

/** A stream is there when it was asked for in createProcess. */
export interface ProcessStdio {
  readonly stdin?: Writable;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
}

/** Options of a Linux signal: hcsshim's guestresource.SignalProcessOptionsLCOW. */
export interface SignalProcessOptions {
  /** Linux signal number, 1 to 64. */
  readonly Signal: number;
}

/** An operating system process in a container or utility VM. */
export interface Process extends AsyncDisposable {
  /** In the utility VM's pid namespace. */
  readonly pid: number;
  /** The streams that were asked for. They close with close(). */
  stdio(): ProcessStdio;
  /** Gives up the handle and its streams; the process runs on. Twice is fine. */
  close(): Promise<void>;
  /** Gives the process its end of file. Fine when it has exited or has no stdin. */
  closeStdin(options?: CallOptions): Promise<void>;
  /** No more output is wanted. */
  closeStdout(options?: CallOptions): Promise<void>;
  closeStderr(options?: CallOptions): Promise<void>;
  /** Sets the size of the process's terminal, in characters. */
  resizeConsole(width: number, height: number, options?: CallOptions): Promise<void>;
  /** Sends SIGKILL and does not wait for the end. @returns whether it was delivered: false once it has exited. */
  kill(options?: CallOptions): Promise<boolean>;
  /** Sends a signal. @returns whether it was delivered: false once the process has exited. */
  signal(signal: number | SignalProcessOptions, options?: CallOptions): Promise<boolean>;
  /**
   * Waits for the end. @returns the exit code, 0 to 255: 128+N when signal N ended it.
   * @throws the reason why it will never be known: closed, or guest lost
   */
  wait(options?: CallOptions): Promise<number>;
  /** @throws while it runs, or when the code will never be known */
  exitCode(): number;
}

/** Where processes can be created. */
export interface ProcessHost {
  /**
   * @param parameters for an OCI host with `OCIProcess`, an OCI process; absent in the first call, which starts init
   */
  createProcess(parameters?: ProcessParameters, options?: CallOptions): Promise<Process>;
  /** "linux" or "windows". */
  readonly os: string;
  /** Whether processes are described as OCI processes. */
  readonly isOCI: boolean;
}

/** A container, on the host or in a utility VM. */
export interface Container extends ProcessHost, AsyncDisposable {
  readonly id: string;
  /** Gives up the handle; the container lives on. Twice is fine. */
  close(): Promise<void>;
  properties(types?: readonly PropertyTypeV1[], options?: CallOptions): Promise<ContainerProperties>;
  propertiesV2(types?: readonly PropertyTypeV2[], options?: CallOptions): Promise<Properties>;
  start(options?: CallOptions): Promise<void>;
  /** Asks it to end; wait() tells when it has. */
  shutdown(options?: CallOptions): Promise<void>;
  /** Ends it by force; wait() tells when it has. */
  terminate(options?: CallOptions): Promise<void>;
  /** Settles when it has ended. @throws the reason why its end will never be known: closed, or guest lost */
  wait(options?: CallOptions): Promise<void>;
  /** Aborts when wait() settles, one way or the other. */
  readonly waitChannel: AbortSignal;
  /** What wait() threw; undefined before waitChannel has aborted and after an ordinary end. */
  waitError(): Error | undefined;
  modify(request: ModifySettingRequest, options?: CallOptions): Promise<void>;
}
