/** What a test starts is what a user would start: no hook of the test's runner is in it. */
import { spawnSync } from "node:child_process";
import { test } from "tap";

const OPTIONS = "process.stdout.write(process.env.NODE_OPTIONS ?? 'none')";

test("a Node that a test starts has no options that the test did not give it", (t) => {
  const options = (env?: NodeJS.ProcessEnv) =>
    spawnSync(process.execPath, ["-e", OPTIONS], { env, encoding: "utf8" }).stdout;
  t.equal(process.env.NODE_OPTIONS, undefined, "a copy of the test's environment has none either");
  t.equal(options(), "none");
  t.equal(options({ PATH: process.env.PATH }), "none");
  t.match(options({ NODE_OPTIONS: "--no-warnings" }), /^"?--no-warnings"?$/);
  t.end();
});
