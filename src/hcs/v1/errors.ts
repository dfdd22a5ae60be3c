import type { HcsErrorCode } from "../compute/error-codes.ts";
import {
  ProcessError as ComputeProcessError,
  type ErrorEvent,
  HcsError,
  SystemError,
} from "../compute/errors.ts";

/** The container that an error is about. */
interface Container {
  readonly id: string;
}

/** The process that an error is about. */
interface Process {
  readonly pid: number;
  readonly containerId: string;
}

/** A call for a container that failed; hcsshim's ContainerError. */
export class ContainerError extends HcsError {
  readonly container: Container;
  /** The same as op: "hcs::System::Start". */
  readonly operation: string;

  constructor(container: Container, operation: string, cause: unknown, events: readonly ErrorEvent[] = []) {
    super(operation, cause, events, `container ${container.id} encountered an error during ${operation}`);
    this.name = "ContainerError";
    this.container = container;
    this.operation = operation;
  }
}

/** A call for a process that failed; hcsshim's ProcessError of version 1. */
export class ProcessError extends HcsError {
  readonly process: Process;
  /** The same as op: "hcs::Process::Kill". */
  readonly operation: string;

  constructor(process: Process, operation: string, cause: unknown, events: readonly ErrorEvent[] = []) {
    const what = `process ${process.pid} in container ${process.containerId}`;
    super(operation, cause, events, `${what} encountered an error during ${operation}`);
    this.name = "ProcessError";
    this.process = process;
    this.operation = operation;
  }
}

/** Runs a call of the compute service, whose error becomes a container's. */
export async function forContainer<T>(container: Container, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    if (!(thrown instanceof SystemError)) throw thrown;
    throw new ContainerError(container, thrown.op, thrown.cause, thrown.events);
  }
}

/** Runs a call of the compute service, whose error becomes a process's. */
export async function forProcess<T>(process: Process, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    if (!(thrown instanceof ComputeProcessError)) throw thrown;
    throw new ProcessError(process, thrown.op, thrown.cause, thrown.events);
  }
}

export function containerError(container: Container, name: string, code: HcsErrorCode): ContainerError {
  return new ContainerError(container, `hcsshim::ComputeSystem::${name}`, code);
}

export function processError(process: Process, name: string, code: HcsErrorCode): ProcessError {
  return new ProcessError(process, `hcsshim::Process::${name}`, code);
}
