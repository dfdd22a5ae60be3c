/** Where the service of a user who is not root keeps its state, and what it says where it cannot. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { text } from "node:stream/consumers";
import tap, { test } from "tap";
import { AS_NOBODY, LCOW, NOBODY } from "./lcow.ts";

tap.setTimeout(60_000);

function serve(environment: NodeJS.ProcessEnv, args: readonly string[] = []) {
  const { LCOW_STATE_DIRECTORY: _, XDG_RUNTIME_DIR: __, ...env } = process.env;
  return spawn("setpriv", [...AS_NOBODY, LCOW, "serve", ...args], {
    cwd: "/",
    env: { ...env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

test("what it cannot make it names, with the option that helps", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/lcow-user-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  chmodSync(directory, 0o755);
  const cases: [NodeJS.ProcessEnv, string[], string][] = [
    [{ LCOW_STATE_DIRECTORY: `${directory}/one` }, [], `${directory}/one`],
    [{}, ["--state-directory", `${directory}/two`], `${directory}/two`],
    [{ XDG_RUNTIME_DIR: directory }, [], `${directory}/lcow`],
    [{}, ["--state-directory", "/dev/null/x"], "/dev/null/x"],
    // Where the kernel says that what is there is not.
    [{}, ["--state-directory", "/proc/one/two"], "/proc/one/two"],
  ];
  for (const [environment, args, named] of cases) {
    const child = serve(environment, args);
    const [said, [status]] = await Promise.all([text(child.stderr), once(child, "close")]);
    t.equal(status, 125);
    t.match(said, /^lcow: [^\n]*name another with --state-directory[^\n]*\n$/);
    t.ok(said.includes(`state directory ${named} cannot be made`), said);
  }
});

test("it serves in the user's runtime directory, where there is one", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/lcow-user-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  chownSync(directory, NOBODY, NOBODY);
  const child = serve({ XDG_RUNTIME_DIR: directory });
  t.teardown(() => void child.kill("SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  t.equal(line.toString(), `lcow: serving at ${directory}/lcow/socket\n`);
  t.ok(existsSync(`${directory}/lcow/socket`));
  child.kill("SIGTERM");
  await once(child, "close");
});

test("a directory that has other files in it stays open to those who use it", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/lcow-user-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  chownSync(directory, NOBODY, NOBODY);
  chmodSync(directory, 0o755);
  writeFileSync(`${directory}/other`, "");
  const child = serve({ LCOW_STATE_DIRECTORY: directory });
  t.teardown(() => void child.kill("SIGKILL"));
  const [said, [status]] = await Promise.all([text(child.stderr), once(child, "close")]);
  t.equal(status, 125);
  t.match(said, /has other files in it: other; name another with --state-directory/);
  t.equal(statSync(directory).mode & 0o777, 0o755);
  t.strictSame(readdirSync(directory), ["other"]);
});
