import { print } from "../output.ts";
import type { Verb } from "../verb.ts";
import { STATE_OPTION, stateDirectory } from "./connection.ts";

export const verb: Verb = {
  operands: [],
  about: `The compute service: systems made by \`lcow create\` and the other commands live on when these end. It
listens on the socket \`socket\` in its state directory, for its own user and root, until SIGTERM or SIGINT;
the systems run on then, and are found again when it starts anew.`,
  options: [STATE_OPTION],
  async run(found) {
    const { Daemon } = await import("../../hcs/serve/daemon.ts");
    const daemon = await Daemon.start(stateDirectory(found));
    await print(`lcow: serving at ${daemon.socketPath}\n`);
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => resolve());
    });
    await daemon.close();
    return 0;
  },
};
