/**
 * run-tests.ts FILE...: runs test files, two at a time, and writes one TAP of them all.
 * What `tap run` does, without what it loads into each test file and from there into every Node that the file starts:
 * hooks that see each module, for a coverage that nobody asks for, which doubled what a start costs; and so what a test
 * starts is what a user would.
 */
import t from "tap";

/** Two processors; more would only make them wait for each other. */
const JOBS = 2;
/** Of one file, and of each test in it that asks for none of its own. */
const DEADLINE_MS = 240_000;
const environment = { ...process.env, TAP_TIMEOUT: String(DEADLINE_MS / 1000) };
/** Begun first, so that none of them is left for the end, when the other processor has nothing to do. */
const LONGEST = [
  "test/package/package.test.ts",
  "test/docs/commands.test.ts",
  "test/cli/vm.test.ts",
  "test/vm/agent.test.ts",
  "test/hcs/serve/faults.test.ts",
  "test/hcs/serve/frozen.test.ts",
];
/** What tap's own spawn adds to the environment. */
const UNSET = ["NODE_OPTIONS", "_TAPJS_PROCESSINFO_EXTERNAL_ID_", "_TAPJS_PROCESSINFO_EXCLUDE_"];

const rank = (file: string) => (LONGEST.includes(file) ? LONGEST.indexOf(file) : LONGEST.length);
const files = process.argv.slice(2).toSorted((one, other) => rank(one) - rank(other));

t.jobs = JOBS;
t.setTimeout(0);
for (const file of files) {
  const words = [...UNSET.flatMap((name) => ["-u", name]), process.execPath, file];
  void t.spawn("/usr/bin/env", words, { buffered: true, timeout: DEADLINE_MS, env: environment }, file);
}
