/** Arguments and variables that are no UTF-8 reach no container changed. */
import { spawnSync } from "node:child_process";
import t from "tap";
import { COMMAND } from "./lcow.ts";

/** A shell makes the bytes: Node could not pass them either. @param line with `lcow` for the command */
function shell(line: string) {
  const made = `bad=$(printf 'a\\377b'); lcow() { ${COMMAND.map((word) => `'${word}'`).join(" ")} "$@"; }; ${line}`;
  return spawnSync("/bin/sh", ["-c", made], { encoding: "utf8", timeout: 60_000 });
}

await t.test("what is no UTF-8 is refused before anything is made", async (t) => {
  t.match(shell('lcow run --local -- /bin/echo ok "$bad"'), {
    status: 2,
    stdout: "",
    stderr: /^lcow: argument 6, "a.b", is not UTF-8/,
  });
  t.match(shell('lcow rm "$bad"'), { status: 2, stderr: /argument 2/ });
  t.match(shell('lcow run --local -e "X=$bad" -- /bin/true'), { status: 2, stderr: /argument 4/ });
  t.match(shell("export bad; lcow run --local -e bad -- /bin/true"), {
    status: 2,
    stderr: /^lcow: the variable bad is not UTF-8/,
  });
  t.match(shell("lcow run --local -- /bin/echo '\u{fffd} ä'"), { status: 0, stdout: "\u{fffd} ä\n" });
});
