/** What someone sees who starts the agent by hand and has something wrong: one line, and a status. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import tap, { test } from "tap";

tap.setTimeout(120_000);

const GCS = fileURLToPath(new URL("../../bin/gcs", import.meta.url));

async function gcs(args: readonly string[], stdout: number | "pipe" = "pipe") {
  const child = spawn(GCS, args, { stdio: ["ignore", stdout, "pipe"] });
  const ended = once(child, "close");
  const [out, error] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
  ]);
  const [status] = await ended;
  return { status, stdout: out, stderr: error };
}

test("flags that are wrong are a line and status 2; what cannot be opened is a line and status 1", async (t) => {
  const directory = t.testdir();
  const cases: [string[], number, RegExp][] = [
    [["-logfile", `${directory}/none/log`], 1, /-logfile: .*none\/log cannot be written: ENOENT/],
    [["-logfile", directory], 1, /-logfile: .* cannot be written: EISDIR/],
    [["-transport", "tcp:1"], 2, /-transport: .*use vsock, unix:PREFIX/],
    [["-transport", "unix:"], 2, /-transport: .*use vsock, unix:PREFIX/],
    [["-transport", `unix:/${"x".repeat(200)}`], 2, /-transport: .*too long/],
    [["-loglevel", "loud"], 2, /-loglevel: "loud"/],
    [["-nonesuch"], 2, /unknown flag -nonesuch/],
  ];
  for (const [args, status, said] of cases) {
    const ran = await gcs(args);
    t.equal(ran.status, status, `${args.join(" ")}: ${ran.stderr}`);
    t.match(ran.stderr, said);
    t.match(ran.stderr, /^gcs: [^\n]*\n$/, "one line");
  }
});

test("help that cannot be written is told, and a reader that has gone is none", async (t) => {
  const full = await gcs(["--help"], openSync("/dev/full", "w"));
  t.match(full, { status: 1, stderr: /^gcs: standard output could not be written: ENOSPC[^\n]*\n$/ });
  const child = spawn("bash", ["-c", `"$0" --help | true; exit "\${PIPESTATUS[0]}"`, GCS]);
  const [said, [status]] = await Promise.all([text(child.stderr), once(child, "close")]);
  t.equal(said, "");
  t.ok(status === 141 || status === 0, `${status}: it may be written before the reader goes`);
});

test("without a host it says what it dials, every ten seconds", async (t) => {
  // Its name must fit into a socket's.
  const directory = mkdtempSync(`${tmpdir()}/lcow-gcs-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const prefix = `${directory}/host`;
  const child = spawn(GCS, ["--transport", `unix:${prefix}`, "--loglevel", "warning"]);
  t.teardown(() => void child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (more: string) => {
    said += more;
  });
  while (said.split("\n").length < 3) await once(child.stderr, "data");
  for (const line of said.trim().split("\n")) {
    t.match(line, /no host yet, dialling again/);
    t.ok(line.includes(`unix:${prefix}_1073741824`), line);
    t.match(line, /is the host listening\?/);
  }
  child.kill("SIGTERM");
  await once(child, "exit");
});
