/** The part of fresh-machine that needs no Debian: what it refuses, before anything is made or written. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";

const program = join(import.meta.dirname, "../../scripts/fresh-machine");

test("a wrong command line is told by its word, and nothing is touched", (t) => {
  const directory = t.testdir({
    other: { etc: { "apt.conf": "" } },
    kept: { etc: { "fresh-machine": "sid\n" } },
  });
  const other = join(directory, "other");
  const cases: [string[], RegExp][] = [
    [[], /nothing is no suite/],
    [["Debian12"], /Debian12 is no suite/],
    [["sid", "trixie"], /one suite, not sid and trixie/],
    [["sid", "--command"], /--command needs a value/],
    [["sid", "--kept"], /there is no option --kept/],
    [["sid", "--in", other], /other is no Debian that --keep has left/],
    [["sid", "--in", "/"], /\/ is no Debian that --keep has left/],
    [["sid", "--in", join(directory, "none")], /none is no Debian that --keep has left/],
    [["trixie", "--in", join(directory, "kept")], /kept is a Debian sid, not trixie/],
    [["sid", "--log", join(directory, "none/log")], /there is no directory .*none for the log/],
  ];
  for (const [args, message] of cases) {
    const ran = spawnSync(program, args, { encoding: "utf8", env: { ...process.env, TMPDIR: directory } });
    t.equal(ran.status, 2, args.join(" "));
    t.match(ran.stderr, message);
    t.match(ran.stderr, /fresh-machine SUITE/, "with its use");
  }
  t.same(readdirSync(other), ["etc"]);
  t.same(readdirSync(join(other, "etc")), ["apt.conf"]);
  t.same(readdirSync(directory).toSorted(), ["kept", "other"]);
  t.end();
});

test("what cannot be made leaves nothing but its log", (t) => {
  // Without a program that makes a Debian nothing gets further than this.
  const directory = t.testdir({ bin: {}, space: {} });
  const space = join(directory, "space");
  mkdirSync(join(directory, "bin"), { recursive: true });
  writeFileSync(join(directory, "bin/debootstrap"), "#!/bin/sh\necho no such release >&2\nexit 1\n", {
    mode: 0o755,
  });
  const ran = spawnSync(program, ["sid"], {
    encoding: "utf8",
    env: { ...process.env, TMPDIR: space, PATH: `${directory}/bin:${process.env.PATH}` },
  });
  t.equal(ran.status, 1);
  t.match(ran.stderr, /no such release\n.*debootstrap failed/s);
  t.same(readdirSync(space), []);
  t.end();
});
