import { socketPair } from "../../native/hvsock/index.ts";
import type { ConnectionSet } from "../../src/stdio/connection-set.ts";
import type { PipeRelay } from "../../src/stdio/pipe-relay.ts";
import { SocketConnection } from "../../src/stdio/socket-connection.ts";
import { shell } from "../native/hvsock/support.ts";

type Stream = "stdin" | "stdout" | "stderr";

/** Connections as a transport would dial them, with the host's ends. */
export function hostAndSet<Wanted extends Stream>(
  ...wanted: Wanted[]
): { host: Record<Wanted, number>; set: ConnectionSet } {
  const host: Partial<Record<Stream, number>> = {};
  const set: Partial<Record<Stream, SocketConnection>> = {};
  for (const stream of wanted) {
    const [hostEnd, guestEnd] = socketPair();
    host[stream] = hostEnd;
    set[stream] = new SocketConnection(guestEnd);
  }
  return { host: host as Record<Wanted, number>, set };
}

/** Starts a shell script on a relay's pipes. */
export async function shellOn(relay: PipeRelay, script: string): ReturnType<typeof shell> {
  const { stdin, stdout, stderr } = relay.childFds;
  const child = await shell(script, [stdin ?? null, stdout ?? null, stderr ?? null]);
  relay.closeChildFds();
  return child;
}
