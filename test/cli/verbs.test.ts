/** What every verb has of the one table: help, checks before anything is done, completion. */
import { execFileSync } from "node:child_process";
import { existsSync, symlinkSync } from "node:fs";
import { test } from "tap";
import { UsageError } from "../../src/cli/arguments.ts";
import { complete } from "../../src/cli/completion/complete.ts";
import { hasCommand, helpOf } from "../../src/cli/verb.ts";
import { dispatch, findVerb, verbs } from "../../src/cli/verbs.ts";
import { machineCapacity } from "../../src/hcs/uvm/qemu/capacity.ts";
import { LCOW, lcow, OnTerminal } from "./lcow.ts";

// What gets past the checks would find no service.
process.env.LCOW_STATE_DIRECTORY = "/proc/none";

/** @returns what is wrong with the words, and the verb whose help tells more; nothing when they are understood */
async function usageError(...[name = "", ...words]: string[]): Promise<string | undefined> {
  try {
    await dispatch(name, words);
  } catch (error) {
    if (error instanceof UsageError) return `${error.message} (${error.verb})`;
  }
  return undefined;
}

test("names that could never be right are refused by every verb, before the service is asked", async (t) => {
  const names = ["", ".", "..", "/", "a/b", "-", "a\x1b[2J", "a\nb", "x".repeat(256), "é"];
  let count = 0;
  for (const { name, load } of verbs) {
    const { verb } = await load();
    const index = verb.operands.findIndex((operand) => operand.name === "NAME");
    if (index < 0) continue;
    count++;
    const rest = name === "signal" ? ["TERM"] : hasCommand(verb.operands) ? ["--", "true"] : [];
    for (const bad of names) {
      const said = await usageError(name, ...(bad === "-" ? ["--"] : []), bad, ...rest);
      t.match(said, new RegExp(`NAME .* \\(${name}\\)$`, "s"), `${name} ${JSON.stringify(bad)}`);
    }
    const last = verb.operands.at(-1);
    if (last?.repeated === true) {
      t.match(await usageError(name, "good", ""), /NAME ""/, `${name}: the second name counts, too`);
    }
  }
  t.ok(count >= 15, `${count} verbs have names`);
  t.match(await usageError("run", "--name", "..", "true"), /--name \.\.: .*\(run\)/);
  t.match(await usageError("create", "--name=", "true"), /--name "": .*\(create\)/);
});

test("run and create refuse the same values; so does exec what it shares with them", async (t) => {
  const mostMiB = machineCapacity().memoryMiB;
  const circle = `${t.testdir()}/circle`;
  symlinkSync("circle", circle);
  const bad: [words: string[], said: RegExp, exec: boolean][] = [
    [["--root", circle], / cannot be used: ELOOP/, false],
    [["--root", `/${"x".repeat(300)}`], /cannot be used: ENAMETOOLONG/, false],
    [["--memory", "1e3"], /--memory 1e3: expected a size/, false],
    [["--memory", "0x40"], /--memory 0x40: expected a size/, false],
    [["-m", ""], /--memory "": expected a size/, false],
    [["-m=-64m"], /--memory -64m: expected a size/, false],
    [["--memory", "64"], /--memory 64: too little/, false],
    [["--memory", "1000t"], /this machine has/, false],
    [["--cpus", "9999"], /--cpus 9999: this machine has/, false],
    [["--cpus", "0"], /--cpus 0: expected a number/, false],
    [["--root", "/proc/none"], /--root \/proc\/none: there is no such directory/, false],
    [["--root", "/etc/passwd"], /there is no such directory/, false],
    [["--hostname", "a b"], /--hostname "a b": expected/, false],
    [["--oci-runtime", ""], /--oci-runtime "": it is empty/, false],
    [["--loglevel", "loud"], /--loglevel loud is none of trace/, false],
    [["--append", "a -- /bin/sh"], /--append .*: -- ends the kernel's arguments/, false],
    [["--append", "a\nb"], /--append .*: expected printable ASCII/, false],
    [["--append", ""], /--append/, false],
    [["--kernel", "/proc/none"], /--kernel \/proc\/none: there is no such file/, false],
    [["--kernel", "/tmp"], /--kernel \/tmp is no regular file/, false],
    [["--initrd", "/dev/null"], /--initrd \/dev\/null is no regular file/, false],
    [["--initrd", ""], /--initrd "": it is empty/, false],
    [["--console", "/proc/none/x"], /--console \/proc\/none\/x cannot be written: ENOENT/, false],
    [["--console", "/tmp"], /--console \/tmp is a directory/, false],
    [["--vm-memory", "100m"], /--vm-memory 100m: too little .* the least is 256m/, false],
    [["-m", `${mostMiB - 10}m`], /this machine has \d+ MiB, and a virtual machine takes 256 MiB more/, false],
    [["--accelerator", "hax"], /--accelerator hax is none of auto, kvm, tcg/, false],
    [["--local", "--kernel", "/etc/passwd"], /--kernel is about the virtual machine/, false],
    [["-e", "=x"], /--env =x: expected NAME=VALUE/, true],
    [["--env-file", "/proc/none"], /--env-file \/proc\/none cannot be read: ENOENT/, true],
    [["-w", "tmp"], /--workdir tmp does not start with \//, true],
    [["-u", ""], /--user "": expected UID/, true],
    [["-u", "4294967295"], /--user 4294967295: the largest number/, true],
    [["--group-add", ""], /--group-add "": /, true],
    [["--tty=yes"], /--tty takes no value/, true],
    [["--nope"], /unknown option --nope/, true],
  ];
  for (const [words, said, exec] of bad) {
    t.match(await usageError("run", ...words, "true"), said, `run ${words.join(" ")}`);
    t.match(await usageError("run", "-d", ...words, "true"), said, `run -d ${words.join(" ")}`);
    t.match(await usageError("create", ...words, "name", "true"), said, `create ${words.join(" ")}`);
    if (exec) t.match(await usageError("exec", ...words, "name", "true"), said, `exec ${words.join(" ")}`);
  }
});

test("what is too much, too little, or behind its place", async (t) => {
  const cases: [string[], RegExp | undefined][] = [
    [["stop", "-t", "soon", "x"], /--time soon: expected a whole number of seconds, 0 to 2147483 \(stop\)/],
    [["stop", "x", "--time", "2147484"], /--time 2147484: expected/],
    [["stop", "--time-ms", "99999999999", "x"], /--time-ms 99999999999: .* 0 to 2147483647/],
    [["stop", "-t", "-1", "x"], /--time -1/],
    [["stop", "-t", "1", "--time-ms", "1", "x"], /not both/],
    [["restart", "-t", "1e9", "x"], /--time 1e9.*\(restart\)/],
    [["stop"], /stop needs a NAME \(stop\)/],
    [["list", "extra"], /list: unexpected extra \(list\)/],
    [["image", "extra"], /image: unexpected extra/],
    [["image", "--zzz"], /unknown option --zzz \(image\)/],
    [["image", "--level", "23"], /--level 23/],
    [["kill", "-s", "NOISE", "x"], /--signal NOISE is no signal/],
    [["signal", "x"], /signal needs a SIGNAL/],
    [["signal", "x", "TERM", "0"], /PID 0: expected/],
    [["exec", "x"], /exec needs a COMMAND/],
    [["exec", "x", "--"], /exec needs a COMMAND/],
    [["exec", "x", "-it", "sh"], /-it behind NAME is no option.*put -- before it/],
    [["create", "x", "--memory", "64m", "--", "sh"], /--memory behind NAME is no option/],
    [["exec", "x", ""], /the COMMAND is empty/],
    [["run", "--rm"], /run needs a COMMAND/],
    [["start", "-a", "x", "y"], /--attach takes one NAME/],
    [["start", "-i", "x"], /need --attach/],
    [["completion", "tcsh"], /SHELL tcsh is none of bash, zsh, fish/],
    [["logs", "-n", "x", "y"], /--tail x: expected/],
    [["ls", "-z"], /unknown option -z \(list\)/],
    [["ps"], /lcow list/],
    [["list", "--state-directory", ""], /--state-directory "": it is empty \(list\)/],
    [["serve", "--state-directory="], /--state-directory "": it is empty \(serve\)/],
    [["boot", "--memory", "5k"], /--memory 5k: too little/],
    // These are understood; there is no service to do them.
    [["exec", "-it=false", "x", "true"], undefined],
    [["stop", "x", "y", "-t", "3"], undefined],
    [["stop", "x", "--timeout=3"], undefined],
    [["exec", "x", "--", "-it"], undefined],
    [["exec", "x", "ls", "-l", "--", "-x"], undefined],
    [["kill", "x", "-s=9"], undefined],
    [["ls", "-a", "-q"], undefined],
    [["top", "x"], undefined],
    [["unpause", "x"], undefined],
  ];
  for (const [words, said] of cases) {
    const found = await usageError(...words);
    if (said === undefined) t.equal(found, undefined, words.join(" "));
    else t.match(found, said, words.join(" "));
  }
});

test("help of every verb: by lcow help VERB, too, and by its aliases", async (t) => {
  for (const { name, aliases = [], load } of verbs) {
    const help = helpOf(name, (await load()).verb);
    t.match(help, new RegExp(`^Usage: lcow ${name} \\[OPTIONS\\]`));
    t.ok(Math.max(...help.split("\n").map((line) => line.length)) <= 115, `${name}: no line is too wide`);
    for (const alias of aliases) t.equal(findVerb(alias).name, name);
  }
  const { verb } = await findVerb("image").load();
  for (const words of [
    ["help", "image"],
    ["image", "--help"],
    ["image", "-h"],
  ]) {
    t.match(await lcow(t, words), { status: 0, stdout: helpOf("image", verb), stderr: "" }, words.join(" "));
  }
  for (const words of [["help"], ["help", "--help"], ["help", "-h"]]) {
    t.match(await lcow(t, ["help", ...words]), { status: 0, stdout: /^lcow: .*Commands:/s }, words.join(" "));
  }
  t.match(await lcow(t, ["help", "stop", "x"]), { status: 2, stderr: /unexpected x/ });
  t.match(await lcow(t, ["help", "stpo"]), {
    status: 2,
    stderr: /unknown command stpo; did you mean stop\?/,
  });
  t.match(await lcow(t, ["stop"]), {
    status: 2,
    stdout: "",
    stderr: "lcow: stop needs a NAME\nSee: lcow stop --help\n",
  });
  const ran = await lcow(t, ["run", "--env-file", "/proc/none", "--local", "--", "/bin/true"]);
  t.match(ran, {
    status: 2,
    stderr: /^lcow: --env-file \/proc\/none cannot be read.*\nSee: lcow run --help\n$/,
  });
});

test("completion knows verbs, options, and what each option and operand takes", async (t) => {
  const offers = async (...words: string[]) => await complete(words, async () => ["web", "wiki", "db"]);
  const words = async (...given: string[]) => (await offers(...given)).words;
  t.strictSame(await words("sta"), ["start", "stats"]);
  t.strictSame(await words("he"), ["help"]);
  t.strictSame(await words("help", "res"), ["restart", "resume"]);
  t.strictSame(await words("create", "--own"), ["--owner"]);
  t.strictSame(await words("run", "--loglevel", "de"), ["debug"]);
  t.strictSame(await words("run", "--loglevel=de"), ["--loglevel=debug"]);
  t.strictSame(await words("run", "--accelerator", ""), ["auto", "kvm", "tcg"]);
  t.strictSame(await words("run", "-i", "--oci-runtime", "c"), ["crun"]);
  t.strictSame(await words("exec", "w"), ["web", "wiki"]);
  t.strictSame(await words("exec", "-e", "A=1", "-it", "d"), ["db"]);
  t.strictSame(await words("stop", "-t", "3", "web", "w"), ["wiki"], "not one that is there already");
  t.strictSame(await words("kill", "-s", "USR"), ["USR1", "USR2"]);
  t.strictSame(await words("signal", "web", "TER"), ["TERM"]);
  t.strictSame(await words("signal", "web", "TERM", "1"), []);
  t.strictSame(await words("stop", "web", "--tim"), ["--time", "--time-ms"], "options may follow");
  t.strictSame(await words("completion", ""), ["bash", "zsh", "fish"]);
  t.ok((await words("run", "-e", "PAT")).includes("PATH"));
  t.strictSame(await offers("run", "--root", "/e"), { words: [], files: "directory" });
  t.strictSame(await offers("run", "--root=/e"), { words: [], files: "directory" });
  t.strictSame(await offers("run", "--env-file", ""), { words: [], files: "file" });
  t.strictSame(await offers("run", "cat", "--lo"), { words: [], files: "file" }, "a command's own");
  t.strictSame(await offers("exec", "web", "cat", "-"), { words: [], files: "file" });
  t.strictSame(await offers("run", "--", "--lo"), { words: [], files: "file" });
  t.strictSame(await offers("create", "-m", ""), { words: [], files: "none" });
  t.strictSame(await offers("list", "x"), { words: [], files: "none" });
  t.strictSame(await offers("nonesuch", "x"), { words: [], files: "none" });
});

test("bash completes lcow as it was typed, by a path say, and --option=value", async (t) => {
  const script = `source <('${LCOW}' completion bash)
    _try() { COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _lcow; echo "\${COMPREPLY[*]}"; }
    complete -p lcow
    _try '${LCOW}' sta
    _try '${LCOW}' run --loglevel = de
    _try '${LCOW}' run --loglevel =
    _try '${LCOW}' run --loglevel=de
    _try '${LCOW}' kill -s USR
    _try '${LCOW}' nonesuch x`;
  const found = execFileSync("bash", ["-c", script], {
    encoding: "utf8",
    env: { ...process.env, PATH: "/usr/bin:/bin" },
  });
  t.strictSame(found.split("\n"), [
    "complete -F _lcow lcow",
    "start stats",
    "debug",
    "trace debug info warning error fatal",
    "debug",
    "USR1 USR2",
    "",
    "",
  ]);
});

test("fish completes, too", async (t) => {
  const lines = [
    "sta",
    "run --loglevel de",
    "run --loglevel=de",
    "kill -s USR",
    "run --root /et",
    "run --root=/et",
    "run --env-file=/etc/passw",
    "nonesuch x",
  ];
  const script = `'${LCOW}' completion fish | source
    ${lines.map((line) => `complete -C "'${LCOW}' ${line}"; echo .`).join("\n")}`;
  // It writes to the home directory.
  const found = execFileSync("fish", ["--no-config", "-c", script], {
    encoding: "utf8",
    env: { ...process.env, HOME: t.testdir() },
  });
  const words = found.split(".\n").map((part) => part.split("\n").map((line) => line.split("\t")[0] ?? ""));
  t.strictSame(words, [
    ["start", "stats", ""],
    ["debug", ""],
    ["--loglevel=debug", ""],
    ["USR1", "USR2", ""],
    ["/etc/", ""],
    ["--root=/etc/", ""],
    ["--env-file=/etc/passwd", ...(existsSync("/etc/passwd-") ? ["--env-file=/etc/passwd-"] : []), ""],
    [""],
    [""],
  ]);
});

test("zsh completes, too", async (t) => {
  const shell = new OnTerminal(t, "/usr/bin/env", ["TERM=dumb", "zsh", "-f", "-i"], {
    cols: 120,
    rows: 40,
  });
  shell.pty.write(
    `autoload -Uz compinit && compinit -u -D; source <('${LCOW}' completion zsh); print ready$((1))\r`,
  );
  await shell.shows("ready1");
  for (const [line, shown] of [
    ["sta", "start  stats"],
    ["run --loglevel=de", "--loglevel=debug "],
    ["run --accelerator k", "--accelerator kvm "],
    ["kill -s USR", "USR1  USR2"],
    ["run --root /et", "--root /etc/"],
    ["run --root=/et", "--root=/etc/"],
  ] as const) {
    shell.pty.write(`${LCOW} ${line}\t`);
    await shell.shows(shown);
    t.pass(`${line}: ${shown}`);
    // Ctrl-U
    shell.pty.write("\x15");
  }
  shell.pty.write("exit 3\r");
  t.equal(await shell.end(), 3);
});
