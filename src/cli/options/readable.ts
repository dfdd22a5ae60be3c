import { createRequire } from "node:module";
import { AgentError } from "../../common/errors.ts";

/** struct pollfd of <poll.h>: int fd; short events; short revents. */
const ENTRY_BYTES = 8;
const POLLIN = 1;

type PollCall = (entries: Buffer, count: number, timeoutMs: number) => number;
let poll: PollCall | undefined;

/**
 * Waits until a descriptor has something to read, or its end, which for a FIFO that nobody has had open for writing has
 * not come. It blocks this process, so that an option can be read where it is found; signals end it.
 * @throws AgentError SYSTEM_CALL_FAILED
 */
export function isReadable(fd: number, timeoutMs: number): boolean {
  poll ??= bind();
  const entry = Buffer.alloc(ENTRY_BYTES);
  entry.writeInt32LE(fd);
  entry.writeInt16LE(POLLIN, 4);
  const ready = poll(entry, 1, Math.ceil(timeoutMs));
  if (ready >= 0) return ready > 0;
  throw new AgentError("SYSTEM_CALL_FAILED", `cannot wait for descriptor ${fd} (poll)`);
}

function bind(): PollCall {
  const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
  return koffi.load("libc.so.6").func("int poll(_Inout_ uint8_t *, unsigned long, int)") as PollCall;
}
