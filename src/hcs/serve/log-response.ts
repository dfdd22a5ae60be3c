import type { ServerResponse } from "node:http";
import { AgentError } from "../../common/errors.ts";
import type { LogPiece, LogQuery } from "./log-reader.ts";
import { encodeFrames } from "./stdio-frames.ts";

/** Reads `follow=1`, `tail=LINES`, `since=MILLISECONDS` and `timestamps=1`. @throws AgentError INVALID_ARGUMENT */
export function logQuery(parameters: URLSearchParams): LogQuery {
  const count = (name: string): number | undefined => {
    const text = parameters.get(name);
    if (text === null) return undefined;
    if (/^\d{1,15}(\.\d+)?$/.test(text)) return Number(text);
    throw new AgentError("INVALID_ARGUMENT", `${name}=${text}: expected a number from 0`);
  };
  return {
    follow: parameters.get("follow") === "1",
    tail: count("tail"),
    since: count("since"),
    timestamps: parameters.get("timestamps") === "1",
  };
}

/** Sends a log as frames, at the pace of who reads it. */
export async function sendLog(pieces: AsyncIterable<LogPiece>, response: ServerResponse): Promise<void> {
  response.writeHead(200, { "Content-Type": "application/octet-stream" });
  response.flushHeaders();
  let room = Promise.withResolvers<void>();
  const hasRoom = () => {
    room.resolve();
    room = Promise.withResolvers();
  };
  response.on("drain", hasRoom);
  response.once("close", hasRoom);
  for await (const { channel, data } of pieces) {
    for (const frame of encodeFrames(channel, data)) {
      if (!response.write(frame) && !response.destroyed) await room.promise;
    }
    if (response.destroyed) return;
  }
  response.end();
}
