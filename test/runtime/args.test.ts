import { test } from "tap";
import {
  createArguments,
  deleteArguments,
  execArguments,
  globalArguments,
  isContainerId,
  listArguments,
  plainArguments,
  updateArguments,
} from "../../src/runtime/runc/args.ts";

const table: readonly (readonly [name: string, built: string[], expected: string])[] = [
  ["global", globalArguments({ log: "/l" }), "--log /l --log-format json"],
  ["global, root", globalArguments({ log: "/l", root: "/r" }), "--root /r --log /l --log-format json"],
  ["create", createArguments({ id: "c", bundle: "/b", pidFile: "/p" }), "create --bundle /b --pid-file /p c"],
  [
    "create, terminal and no pivot",
    createArguments({ id: "c", bundle: "/b", pidFile: "/p", consoleSocket: "/s", noPivot: true }),
    "create --bundle /b --no-pivot --pid-file /p --console-socket /s c",
  ],
  [
    "exec",
    execArguments({ id: "c", process: "/j", pidFile: "/p" }),
    "exec --detach --process /j --pid-file /p c",
  ],
  [
    "exec, terminal",
    execArguments({ id: "c", process: "/j", pidFile: "/p", consoleSocket: "/s" }),
    "exec --detach --process /j --pid-file /p --console-socket /s c",
  ],
  ["start", plainArguments("start", "c"), "start c"],
  ["state", plainArguments("state", "c"), "state c"],
  ["delete", deleteArguments("c"), "delete c"],
  ["delete by force", deleteArguments("c", true), "delete --force c"],
  ["update", updateArguments("c", "/f"), "update --resources /f c"],
  ["list", listArguments(), "list --format json"],
];

for (const [name, built, expected] of table)
  test(`arguments: ${name}`, (t) => {
    t.equal(built.join(" "), expected);
    t.end();
  });

test("container ids", (t) => {
  for (const id of ["a", "0", "A-b_c+d.e", "x".repeat(255)]) t.equal(isContainerId(id), true, id);
  for (const id of ["", ".", "..", "-a", "_a", "a/b", "a\nb", "a\n", "a b", "é", "x".repeat(256)])
    t.equal(isContainerId(id), false, id);
  t.end();
});
