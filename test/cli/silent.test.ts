/** Signals of the caller win, whatever the guest does. */
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import tap, { test } from "tap";
import { eventually } from "../hcs/serve/support.ts";
import { Lcow } from "./lcow.ts";

tap.setTimeout(240_000);

const LOOP = ["--", "/bin/sh", "-c", "trap 'echo told' INT; echo ready; while :; do sleep 0.2; done"];

/** Pids of a process's children whose command line has the words. */
function childWith(parent: number, words: string): number {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ");
  const pid = children.find((child) => readFileSync(`/proc/${child}/cmdline`, "utf8").includes(words));
  if (pid === undefined) throw new Error(`lcow has no child ${words}`);
  return Number(pid);
}

const isAlive = (pid: number) =>
  existsSync(`/proc/${pid}/status`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
/** Of an agent without a machine; a machine has none. */
const privateDirectory = (pid: number) =>
  /--private-directory=([^\0]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.[1];

for (const [what, options, words] of [
  ["an agent that is stopped", ["--local"], "gcs/main.ts"],
  ["a machine that is stopped", [], "qemu-system"],
] as const) {
  test(`run: ${what} is ended by the second Ctrl-C`, async (t) => {
    const lcow = new Lcow(t, ["run", ...options, ...LOOP]);
    await lcow.shows("ready");
    const silent = childWith(lcow.pid, words);
    const directory = privateDirectory(silent);
    t.equal(directory !== undefined && existsSync(directory), options.length > 0);
    process.kill(silent, "SIGSTOP");
    if (words === "gcs/main.ts") {
      const told = (what: RegExp) => eventually(() => what.test(lcow.stderr));
      await told(/lcow: the guest has not answered since 20\S+Z \(\d+ seconds\)\n/);
      process.kill(silent, "SIGCONT");
      await told(/lcow: the guest answers again\n/);
      process.kill(silent, "SIGSTOP");
    }
    lcow.child.kill("SIGINT");
    // Two at once are one signal.
    while (!lcow.stderr.includes("Ctrl-C again")) await delay(20);
    lcow.child.kill("SIGINT");
    const ended = await lcow.result();
    t.equal(ended.status, 130, ended.stderr);
    t.match(ended.stderr, /the command outlives SIGKILL, as a guest does that does not answer/);
    t.notOk(isAlive(silent), "nothing runs on");
    t.notOk(directory !== undefined && existsSync(directory), "and nothing is left");
  });
}
