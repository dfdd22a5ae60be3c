import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

export const { main } = verb("resume", {
  operands: "NAME",
  about: "Lets a paused system go on.",
  options: [],
  count: [1, 1],
  async run({ operands: [id = ""] }, service) {
    await service.post(systemPath(id, "resume"));
    return 0;
  },
});
