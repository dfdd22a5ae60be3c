import { binding, type NativePoll } from "./binding.ts";

/** Sizes a relay's pipes ask for: what an unprivileged process may have by default (fs.pipe-max-size). */
export const largePipeBytes = 1024 * 1024;

/**
 * Makes a close-on-exec pipe.
 * @throws Error with code EMFILE or ENFILE.
 */
export function pipe(options: { readNonBlocking?: boolean; writeNonBlocking?: boolean } = {}): {
  readonly readFd: number;
  readonly writeFd: number;
} {
  const [readFd, writeFd] = binding.pipe(options.readNonBlocking ?? false, options.writeNonBlocking ?? false);
  return { readFd, writeFd };
}

/** Makes two connected Unix stream sockets, close-on-exec and blocking. */
export function socketPair(): [number, number] {
  return binding.socketPair();
}

/** Makes a pseudo-terminal, close-on-exec and blocking; neither end becomes a controlling terminal. */
export function openPty(): { readonly masterFd: number; readonly slaveFd: number } {
  const [masterFd, slaveFd] = binding.openPty();
  return { masterFd, slaveFd };
}

/**
 * Asks the kernel for a larger (or smaller) pipe buffer. A refusal is no error.
 * @returns the size afterwards, in bytes.
 */
export function setPipeSize(fd: number, bytes: number = largePipeBytes): number {
  return binding.setPipeSize(fd, bytes);
}

/** @throws Error with code EBADF: a descriptor closed twice is a defect that may hit a stranger's descriptor. */
export function closeFd(fd: number): void {
  binding.closeFd(fd);
}

/**
 * As closeFd, off the event loop, for an end of a pipe or a terminal that a stranger's program has, too: the kernel lets
 * close(2) wait as long as that program's own call has it locked.
 * @returns settles when it is closed, which may be never; the wait does not keep the event loop alive
 */
export function closeInBackground(fd: number): Promise<void> {
  return called((callback) => binding.closeInBackground(fd, callback));
}

/** A second descriptor for the same open file, close-on-exec. */
export function duplicateFd(fd: number): number {
  return binding.duplicateFd(fd);
}

/** Sets or clears O_NONBLOCK, which belongs to the open file: every duplicate sees it. */
export function setNonBlocking(fd: number, on: boolean): void {
  binding.setNonBlocking(fd, on);
}

/**
 * Sets a terminal's size in character cells and signals SIGWINCH to its foreground group. Off the event loop, since a
 * program on the terminal can make the kernel wait; it settles never then. The descriptor may be closed meanwhile.
 * @throws RangeError; Error with code EIO, ENOTTY ...
 */
export function setWindowSize(fd: number, rows: number, columns: number): Promise<void> {
  return called((callback) => binding.setWindowSize(fd, rows, columns, callback));
}

export function getWindowSize(fd: number): { readonly rows: number; readonly columns: number } {
  const [rows, columns] = binding.getWindowSize(fd);
  return { rows, columns };
}

/** Half-closes a connected socket; a half that the peer closed already is no error. */
export function shutdownSocket(fd: number, how: "read" | "write"): void {
  binding.shutdown(fd, how);
}

/**
 * Settles once a non-blocking pipe or socket takes bytes again, or never will: writing tells which. The wait does
 * not keep the event loop alive, and the descriptor may be closed meanwhile.
 * @throws Error with a code where the descriptor cannot be watched, e.g. EPERM for a file.
 */
export async function untilWritable(fd: number): Promise<void> {
  // Its own duplicate: the loop allows one watch per descriptor.
  const watched = binding.duplicateFd(fd);
  const { promise, resolve } = Promise.withResolvers<void>();
  let poll: NativePoll | undefined;
  try {
    poll = new binding.Poll(watched, () => resolve());
    poll.setKeepsLoopAlive(false);
    poll.start(binding.WRITABLE);
    await promise;
  } finally {
    poll?.close();
    binding.closeFd(watched);
  }
}

async function called(call: (callback: (error: Error | null) => void) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  call((error) => (error === null ? resolve() : reject(error)));
  await promise;
}
