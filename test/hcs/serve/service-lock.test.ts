/** One service at a time has a state directory, however many are started at once and however they end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { text } from "node:stream/consumers";
import { test } from "tap";
import { lockFile } from "../../../src/hcs/serve/paths.ts";

const LCOW = new URL("../../../bin/lcow", import.meta.url).pathname;

interface Started {
  readonly child: ChildProcess;
  /** undefined when it serves; else what it said at its end. */
  readonly refusal: string | undefined;
}

async function start(directory: string): Promise<Started> {
  const env = { ...process.env, LCOW_STATE_DIRECTORY: directory };
  const child = spawn(LCOW, ["serve"], { env, stdio: ["ignore", "pipe", "pipe"] });
  const serves = once(child.stdout, "data").then(() => undefined);
  const refused = text(child.stderr).then(async (said) => {
    if (child.exitCode === null) await once(child, "exit");
    return `${child.exitCode} ${said}`;
  });
  return { child, refusal: await Promise.race([serves, refused]) };
}

test("of four that are started at once one serves, and the next can when it has been killed", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/lcl-`);
  const running = new Set<ChildProcess>();
  t.teardown(() => {
    for (const child of running) child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });
  const started = await Promise.all(Array.from({ length: 4 }, () => start(directory)));
  for (const { child } of started) running.add(child);
  const [serving, ...others] = started.filter(({ refusal }) => refusal === undefined);
  t.same(others, [], "one only");
  const pid = serving?.child.pid;
  for (const { refusal } of started.filter((each) => each !== serving))
    t.match(
      refusal,
      new RegExp(`^125 lcow: a compute service runs already \\(process (${pid}|\\?)\\) .*INVALID_STATE`),
    );
  t.equal(readFileSync(lockFile(directory), "utf8"), `${pid}\n`);

  const killed = serving && once(serving.child, "exit");
  serving?.child.kill("SIGKILL");
  await killed;
  const next = await start(directory);
  running.add(next.child);
  t.equal(next.refusal, undefined, "its lock ended with it");
  const ended = once(next.child, "exit");
  next.child.kill("SIGTERM");
  await ended;
  t.notOk(existsSync(lockFile(directory)));
});
