import type { Connection, DialOptions, StdioPorts, Transport } from "./transport.ts";

/** The dialled streams of one process; an absent one is a stream that nobody wants. */
export interface ConnectionSet {
  readonly stdin?: Connection;
  readonly stdout?: Connection;
  readonly stderr?: Connection;
}

const streams = ["stdin", "stdout", "stderr"] as const;

/**
 * Dials all wanted streams at the same time. When one fails, the others are given up and closed.
 *
 * @throws AgentError of the first dial that failed (DIAL_FAILED, ABORTED).
 */
export async function connectStdio(
  transport: Transport,
  ports: StdioPorts,
  options: Omit<DialOptions, "stream"> = {},
): Promise<ConnectionSet> {
  const giveUp = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, giveUp.signal]) : giveUp.signal;
  let firstFailure: unknown;
  const dials = streams.map(async (stream): Promise<Connection | undefined> => {
    const port = ports[stream];
    if (port === undefined) return undefined;
    try {
      return await transport.dial(port, { ...options, stream, signal });
    } catch (error) {
      firstFailure ??= error;
      giveUp.abort(error);
      return undefined;
    }
  });
  const [stdin, stdout, stderr] = await Promise.all(dials);
  const set = { ...(stdin && { stdin }), ...(stdout && { stdout }), ...(stderr && { stderr }) };
  if (firstFailure !== undefined) {
    closeConnections(set);
    throw firstFailure;
  }
  return set;
}

/** Closes all connections of a set; those closed or released already stay as they are. */
export function closeConnections(set: ConnectionSet): void {
  for (const stream of streams) set[stream]?.close();
}
