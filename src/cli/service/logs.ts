import { print } from "../output.ts";
import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

export const { main } = verb("logs", {
  operands: "NAME",
  about: "Shows what the container's command has written, standard output and error together.",
  options: [{ name: "follow", short: "f", help: "go on as more is written, until the command ends" }],
  count: [1, 1],
  async run(found, service) {
    const [id = ""] = found.operands;
    const follow = found.has("follow") ? "?follow=1" : "";
    const log = await service.stream(`${systemPath(id, "logs")}${follow}`);
    for await (const chunk of log as AsyncIterable<Buffer>) {
      await print(chunk);
    }
    return 0;
  },
});
