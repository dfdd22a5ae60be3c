import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../src/common/json.ts";
import { kindOf, type MessageKind, type MessageName, messageNameOf } from "../../src/protocol/messages.ts";

/** A frame of the recording between a real host and a real guest. */
export interface RecordedFrame {
  readonly direction: "host->guest" | "guest->host";
  readonly type: number;
  readonly kind: MessageKind | undefined;
  /** undefined for notifications. */
  readonly name: MessageName | undefined;
  readonly id: number;
  readonly body: Record<string, unknown>;
}

type Line = { dir?: RecordedFrame["direction"]; type: string; id: number; body: Record<string, unknown> };

const file = join(import.meta.dirname, "../data/transcript.jsonl");

export const recordedFrames: readonly RecordedFrame[] = readFileSync(file, "utf8")
  .trim()
  .split("\n")
  .flatMap((text) => {
    const { dir, type: hexadecimal, id, body } = parseJson(text) as Line;
    if (dir === undefined) return [];
    const type = Number(hexadecimal);
    return [{ direction: dir, type, kind: kindOf(type), name: messageNameOf(type), id, body }];
  });

/** The same value with every string that holds a JSON object parsed, at any depth. */
export function unfold(value: unknown): unknown {
  if (typeof value === "string" && value.startsWith("{")) return unfold(parseJson(value));
  if (Array.isArray(value)) return value.map(unfold);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, unfold(member)]));
}
