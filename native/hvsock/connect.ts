import { setTimeout as sleep } from "node:timers/promises";
import { AgentError } from "../../src/common/errors.ts";
import { type Address, describeAddress, nativeAddress } from "./address.ts";
import { binding } from "./binding.ts";
import { aborted, type WaitOptions, waitUntilReady } from "./deadline.ts";
import { Socket } from "./socket.ts";

/** Between two tries when a Unix listener's backlog is full: the kernel offers no event for that. */
const fullBacklogPauseMs = 2;

/**
 * Connects a stream socket and gives its descriptor (non-blocking, close-on-exec), which the caller owns.
 *
 * @throws Error with code ECONNREFUSED, ENOENT, ECONNRESET, ETIMEDOUT (vsock has its own limit of 2 s), ENODEV
 *   (no vsock transport), ENAMETOOLONG ...; AgentError TIMEOUT, ABORTED.
 */
export async function connectFd(address: Address, options: WaitOptions = {}): Promise<number> {
  const what = `connect to ${describeAddress(address)}`;
  const deadline =
    options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs;
  for (;;) {
    if (options.signal?.aborted) throw aborted(what, options.signal);
    const attempt = startConnect(address);
    if (attempt !== "backlog full") {
      const [fd, connected] = attempt;
      if (!connected) await finishConnect(fd, what, deadline, options.signal);
      return fd;
    }
    if (performance.now() >= deadline) {
      throw new AgentError(
        "TIMEOUT",
        `${what} took longer than ${options.timeoutMs} ms: its backlog is full`,
      );
    }
    await sleep(fullBacklogPauseMs);
  }
}

/** Connects a stream socket for control traffic. Errors as connectFd. */
export async function connect(address: Address, options: WaitOptions = {}): Promise<Socket> {
  return new Socket(await connectFd(address, options));
}

function startConnect(address: Address): [number, boolean] | "backlog full" {
  try {
    return binding.startConnect(...nativeAddress(address));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "backlog full";
    throw error;
  }
}

async function finishConnect(
  fd: number,
  what: string,
  deadline: number,
  signal?: AbortSignal,
): Promise<void> {
  const timeoutMs = Number.isFinite(deadline)
    ? Math.max(0, Math.ceil(deadline - performance.now()))
    : undefined;
  const attempt = () => {
    binding.finishConnect(fd);
    return true;
  };
  try {
    await waitUntilReady(fd, binding.WRITABLE, attempt, what, { timeoutMs, signal });
  } catch (error) {
    binding.closeFd(fd);
    throw error;
  }
}
