import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

export const { main } = verb("pause", {
  operands: "NAME",
  about:
    "Stops a running system where it is, until `lcow resume`: a virtual machine's processors, without one its processes.",
  options: [],
  count: [1, 1],
  async run({ operands: [id = ""] }, service) {
    await service.post(systemPath(id, "pause"));
    return 0;
  },
});
