/** Arguments and variables that are no UTF-8 reach no container changed. */
import { spawnSync } from "node:child_process";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import t from "tap";
import { TestService } from "../hcs/serve/support.ts";
import { LCOW } from "./lcow.ts";

/** A shell makes the bytes: Node could not pass them either. @param line with `lcow` for the command */
function shell(line: string) {
  const made = `bad=$(printf 'a\\377b'); lcow() { '${LCOW}' "$@"; }; ${line}`;
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

await t.test("the service refuses a body that is no UTF-8, and names each container it can", async (t) => {
  const service = new TestService(t);
  await service.start();
  const body = Buffer.from('{"id":"a","document":{},"init":{"CommandArgs":["\xff"]}}', "latin1");
  const reply = await new Promise<string>((resolve, reject) => {
    const sent = request({ socketPath: service.socket, path: "/systems", method: "POST" }, (response) => {
      text(response).then((said) => resolve(`${response.statusCode} ${said}`), reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
  t.match(reply, /^400 .*"INVALID_JSON".*not UTF-8/);
  await service.ok("create", "--local", "a+b", "--", "/bin/hostname");
  t.match(await service.lcow(["start", "-a", "a+b"]), { status: 0, stdout: "a-b\n" });
});
