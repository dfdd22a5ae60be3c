/** What runs the tests: it sees each failure, and what a test starts is what a user would start. */
import { spawnSync } from "node:child_process";
import { test } from "tap";

const root = new URL("../../", import.meta.url).pathname;
const OPTIONS = "process.stdout.write(process.env.NODE_OPTIONS ?? 'none')";

test("a Node that a test starts has no options that the test did not give it", (t) => {
  const options = (env?: NodeJS.ProcessEnv) =>
    spawnSync(process.execPath, ["-e", OPTIONS], { env, encoding: "utf8" }).stdout;
  t.equal(options(), "none");
  t.equal(options({ PATH: process.env.PATH }), "none");
  t.equal(options({ NODE_OPTIONS: "--no-warnings" }), "--no-warnings");
  t.end();
});

test("a file fails by an assertion, by an error, by its end, and by having no tests", (t) => {
  const directory = t.testdir({
    "good.test.ts":
      'import { test } from "tap";\ntest("good", async (t) => t.equal(process.env.TAP_TIMEOUT, "240"));\n',
    "assertion.test.ts": 'import { test } from "tap";\ntest("bad", async (t) => t.ok(false));\n',
    "error.test.ts": 'import "tap";\nthrow new Error("thrown");\n',
    "end.test.ts": 'import { test } from "tap";\ntest("ends", async () => process.exit(3));\n',
    "signal.test.ts":
      'import { test } from "tap";\ntest("ends", async () => process.kill(process.pid, "SIGKILL"));\n',
    "empty.test.ts": "export {};\n",
  });
  const run = (...names: string[]) => {
    const { TAP_CHILD_ID: _, TAP_CHILD_KEY: __, ...env } = process.env;
    const files = names.map((name) => `${directory}/${name}.test.ts`);
    const script = `${root}scripts/run-tests.ts`;
    return spawnSync(`${root}bin/node-pinned`, [script, ...files], { cwd: root, env, encoding: "utf8" });
  };
  t.equal(run("good").status, 0);
  for (const name of ["assertion", "error", "end", "signal"]) {
    const { status, stdout } = run(name, "good");
    t.not(status, 0, name);
    t.match(stdout, new RegExp(`^not ok \\d - .*${name}\\.test\\.ts`, "m"));
    t.match(stdout, /^ok \d - .*good\.test\.ts/m);
    t.match(stdout, /^# \{ total: \d+, pass: \d+, fail: [1-9]/m, "and it is counted");
  }
  t.match(run("empty").stdout, /^# \{ .*skip: 1/m, "which scripts/test does not take for a pass");
  t.end();
});
