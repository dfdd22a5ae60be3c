/** Asks as fast as a host can, by the C program, over a bridge that is connected already. */
import { type MessageName, requestTypeOf } from "../src/protocol/messages.ts";
import { run } from "./command.ts";

export interface Load {
  readonly name: MessageName;
  readonly body: string;
  readonly count: number;
  readonly inFlight: number;
}

export interface LoadResult {
  readonly perSecond: number;
  /** Median of single requests, from send to reply. */
  readonly microseconds: number;
}

/** @param fd blocking socket. */
export async function load(
  program: string,
  fd: number,
  { name, body, count, inFlight }: Load,
): Promise<LoadResult> {
  const args = [requestTypeOf(name).toString(16), body, String(count), String(inFlight)];
  const { stdout } = await run(program, args, [fd, "pipe", "pipe"]);
  const [total = Number.NaN, middle = Number.NaN] = stdout.split(" ").map(Number);
  return { perSecond: count / (total / 1e9), microseconds: middle / 1e3 };
}
