import { binding, type RootFile } from "./binding.ts";

export type { RootFile };

/**
 * A file of a root file system whose content is not trusted: links are followed as a process whose root it is would
 * follow them, never out of it; only a regular file is opened, so that neither a FIFO nor a device is ever waited for or
 * set off. A thread of its own does it, and the event loop is not kept alive for it: where the file system
 * does not answer, the promise stays pending, so set a deadline.
 *
 * @param maximum bytes to read; 0 only looks.
 * @returns undefined when there is no such file.
 * @throws Error with `code`, `errno` and `syscall`: ELOOP for links in a circle, ENOSYS before Linux 5.6.
 */
export function readInRoot(root: string, path: string, maximum: number): Promise<RootFile | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<RootFile | undefined>();
  binding.readInRoot(root, path, maximum, (error, file) => {
    if (error !== null) reject(error);
    else resolve(file ?? undefined);
  });
  return promise;
}
