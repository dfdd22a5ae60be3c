import { readFileSync } from "node:fs";
import tap, { test } from "tap";
import { lcow } from "./lcow.ts";

tap.setTimeout(240_000);

test("help and version", async (t) => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  t.match(await lcow(t, ["--version"]), { status: 0, stdout: `lcow ${version}\n`, stderr: "" });
  for (const word of ["--help", "-h", "help"]) {
    t.match(await lcow(t, [word]), {
      status: 0,
      stdout: /Usage: lcow COMMAND[\s\S]*run +run a command/,
      stderr: "",
    });
  }
  const { status, stdout } = await lcow(t, ["run", "--help"]);
  t.equal(status, 0);
  for (const option of ["--local", "-t, --tty", "--oci-runtime NAME", "--loglevel", "125", "126", "127"]) {
    t.ok(stdout.includes(option), option);
  }
  t.ok(Math.max(...stdout.split("\n").map((line) => line.length)) <= 115, "no line is too wide");
  t.match(await lcow(t, []), { status: 2, stdout: /Usage/ });
});

test("what is not understood ends with status 2, says what, and names the nearest", async (t) => {
  const cases: [string[], RegExp][] = [
    [["rum"], /unknown command rum; did you mean run\?/],
    [["--verson"], /unknown option --verson; did you mean --version\?/],
    [["run", "--lokal", "--", "x"], /unknown option --lokal; did you mean --local\?/],
    [["run", "--local", "--oci-runtme", "crun", "x"], /did you mean --oci-runtime\?/],
    [["run", "--local", "--zzz", "x"], /unknown option --zzz\n/],
    [["run", "--local", "-x", "x"], /unknown option -x\n/],
    [["run", "--local"], /run needs a COMMAND/],
    [["run", "--local", "--"], /run needs a COMMAND/],
    [["run", "--local", "--memory"], /--memory needs a value: /],
    [["run", "--local", "--memory", "lots", "x"], /--memory lots: expected a /],
    [["run", "--local", "-e", "=x", "x"], /--env =x: expected NAME=VALUE/],
    [["run", "--local", "-w", "tmp", "x"], /--workdir tmp does not start with \//],
    [["run", "--local", "--loglevel", "loud", "x"], /--loglevel loud is none of trace/],
    [["run", "--local", "--tty=yes", "x"], /--tty takes no value/],
    [["run", "--local", "-u", "a", "-u", "b", "x"], /-u is given twice/],
  ];
  for (const [words, message] of cases) {
    t.match(await lcow(t, words), { status: 2, stdout: "", stderr: message }, words.join(" "));
  }
});

test("what follows the command is the command's own", async (t) => {
  t.match(await lcow(t, ["run", "--local", "/bin/echo", "--help", "-t"]), {
    status: 0,
    stdout: "--help -t\n",
  });
});
