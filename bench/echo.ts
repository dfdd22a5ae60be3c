/** A bare echo server, dialled in as the agent dials in. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeFd, listen, setNonBlocking } from "../native/hvsock/index.ts";

const DEADLINE_MS = 30_000;

/** @param command the server; the socket's path is appended. @param use gets the host's end, blocking. */
export async function withEcho<Value>(
  command: readonly [string, ...string[]],
  path: string,
  use: (fd: number) => Promise<Value>,
): Promise<Value> {
  const listener = listen({ path });
  const [program, ...args] = command;
  const child = spawn(program, [...args, path], { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  try {
    const fd = await listener.acceptFd({ timeoutMs: DEADLINE_MS });
    setNonBlocking(fd, false);
    try {
      return await use(fd);
    } finally {
      closeFd(fd);
    }
  } finally {
    listener.close();
    child.kill("SIGKILL");
    await exited;
  }
}
