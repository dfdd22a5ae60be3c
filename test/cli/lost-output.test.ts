/** Every verb whose reader has gone, or whose output does not fit anywhere. */
import { execFileSync } from "node:child_process";
import tap, { test } from "tap";
import { TestService } from "../hcs/serve/support.ts";
import { LCOW } from "./lcow.ts";

tap.setTimeout(240_000);

/** As `lcow --help` has them, so that none is forgotten. */
const verbs = execFileSync(LCOW, ["--help"], { encoding: "utf8" })
  .split("\n\n")
  .filter((part) => part.startsWith("Commands:"))
  .flatMap((part) => [...part.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = ""]) => name));

/** Reads a script's lines `WORDS: STATUS`. */
function statuses(text: string): Map<string, string> {
  return new Map(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(": ") as [string, string]),
  );
}

test("a full disk is told in a line, with status 1; a reader that has gone is not, and a closed output is none", async (t) => {
  t.ok(verbs.length >= 15, verbs.join(" "));
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "one", "--", "/bin/sh", "-c", "echo out; sleep 1000");
  await service.ok("start", "one");
  await service.ok("create", "--local", "ended", "--", "/bin/true");
  await service.ok("start", "ended");
  await service.ok("wait", "ended");
  const calls = [
    ...verbs.map((verb) => `${verb} --help`),
    ...["--help", "--version", "help run", "completion bash"],
    ...[
      "list",
      "list --json",
      "list -q",
      "ps one",
      "stats one",
      "stats --json one",
      "logs one",
      "inspect one",
    ],
    ...["wait ended"],
  ];
  const script = (redirect: string) =>
    calls.map((call) => `lcow ${call} ${redirect}; echo "${call}: $?" >&3`).join("\n");

  const full = await service.shell(script(">/dev/full"));
  for (const [call, status] of statuses(full.stdout)) t.equal(status, "1", `${call} >/dev/full`);
  const told = full.stderr.trim().split("\n");
  t.equal(told.length, calls.length, "a line each");
  for (const line of told) t.match(line, /^lcow: standard output could not be written: ENOSPC/);

  // The reader has gone before there is anything to read.
  const left = await service.shell(`{ sleep 0.5\n${script("")}\n} | true`);
  t.equal(left.stderr, "", "nothing is said");
  t.equal(statuses(left.stdout).size, calls.length);
  for (const [call, status] of statuses(left.stdout)) t.equal(status, "141", `${call} | true`);

  for (const redirect of [">&- 2>/dev/full", "<&- >/dev/null 2>&-"]) {
    const closed = await service.shell(script(redirect));
    for (const [call, status] of statuses(closed.stdout)) t.equal(status, "0", `${call} ${redirect}`);
    t.equal(closed.stderr, "", redirect);
  }
});

test("an error that nobody can be told is still a status", async (t) => {
  const service = new TestService(t);
  await service.start();
  const { stdout, stderr } = await service.shell(`
lcow rm nonesuch 2>/dev/full; echo "full: $?" >&3
lcow rm nonesuch 2>&-; echo "closed: $?" >&3
lcow --nonesuch 2>/dev/full; echo "usage: $?" >&3
lcow run --local -- /bin/nonesuch 2>/dev/full; echo "run: $?" >&3
(sleep 0.2; lcow rm nonesuch 2>&1 >/dev/null; echo "gone: $?" >&3) | true`);
  t.equal(stderr, "");
  t.strictSame(
    [...statuses(stdout)],
    [
      ["full", "125"],
      ["closed", "125"],
      ["usage", "2"],
      ["run", "127"],
      ["gone", "125"],
    ],
  );
});
