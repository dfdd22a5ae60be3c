import { channels, FrameReader } from "../../hcs/serve/stdio-frames.ts";
import { type OptionDescription, UsageError } from "../arguments.ts";
import { passError, print, say } from "../output.ts";
import { systemPath } from "./connection.ts";
import { readSince } from "./since.ts";
import { SYSTEM, serviceVerb } from "./verb.ts";

const FOLLOW: OptionDescription = {
  name: "follow",
  short: "f",
  help: "go on as more is written, until the command ends",
};
const TAIL: OptionDescription<string> = {
  name: "tail",
  short: "n",
  value: "LINES",
  read: readLines,
  help: "the last lines only; all for all (default)",
};
const SINCE: OptionDescription<number> = {
  name: "since",
  value: "TIME",
  read: readSince,
  help: "lines begun since then: so long ago (10m, 1h30m), a date\n(2026-11-25T12:00:00), or seconds since 1970",
};
const TIMESTAMPS: OptionDescription = {
  name: "timestamps",
  short: "t",
  help: "with the time, in UTC, in front of each line",
};

export const verb = serviceVerb({
  operands: [SYSTEM],
  about: `Shows what the container's command has written: its standard output here on standard output, its standard error
on standard error. Of much output the last 16 to 32 MiB are kept.`,
  options: [FOLLOW, TAIL, SINCE, TIMESTAMPS],
  async run(found, service) {
    const [id = ""] = found.operands;
    const query = new URLSearchParams();
    const [tail, since] = [found.read(TAIL), found.read(SINCE)];
    if (found.has("follow")) query.set("follow", "1");
    if (found.has("timestamps")) query.set("timestamps", "1");
    if (tail !== undefined && tail !== "all") query.set("tail", tail);
    if (since !== undefined) query.set("since", String(since));
    const log = await service.stream(`${systemPath(id, "logs")}?${query}`);
    const reader = new FrameReader();
    const unwatch = service.watch(id, say);
    try {
      for await (const chunk of log as AsyncIterable<Buffer>) {
        for (const { channel, data } of reader.push(chunk)) {
          if (channel === channels.stdout) await print(data);
          else if (channel === channels.stderr) await passError(data);
          else say(data.toString());
        }
      }
    } finally {
      unwatch();
    }
    return 0;
  },
});

function readLines(text: string, what: string): string {
  if (text === "all" || /^\d{1,9}$/.test(text)) return text;
  throw new UsageError(`${what}: expected a number of lines, or all`);
}
