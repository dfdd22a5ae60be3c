import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import t, { test } from "tap";
import { documents, root } from "./markdown.ts";
import {
  type Command,
  commandsOf,
  hasPlaceholder,
  isShown,
  run,
  runOnTerminal,
  runUntilItSpeaks,
} from "./shell.ts";

/** The machines that are booted one after the other. */
t.setTimeout(600_000);

const environment = process.env;
const around = { environment, timeoutMs: 120_000 };

/** Each once, wherever it stands. */
const commands = [
  ...new Map(
    documents
      .filter(({ file }) => file !== "docs/performance.md")
      .flatMap(({ fences }) => fences)
      .filter(({ language, text }) => /^(sh|console)$/.test(language) || /^(bin\/|qemu-)/.test(text))
      .flatMap(commandsOf)
      .map((command): [string, Command] => [command.line, command]),
  ).values(),
];
/** They build or test all of this project; that their scripts are there is checked with the names. */
const isNpm = ({ line }: Command) => /^(npm |bin\/node-pinned test\/x\.test)/.test(line);
/** The service's own story is told in one go, below. */
const isService = ({ where }: Command) => where.startsWith("docs/hcs.md");
const runnable = commands.filter(
  (command) =>
    !isNpm(command) && !isService(command) && !hasPlaceholder(command) && !command.line.startsWith("git "),
);

test("the commands of the documents do what they say", { timeout: 600_000 }, async (t) => {
  t.ok(runnable.length > 8, `${runnable.length} commands`);
  for (const command of runnable) {
    const { where, line, shown } = command;
    if (/^bin\/gcs .*--transport/.test(line)) {
      const { output } = await runUntilItSpeaks(line, around);
      t.match(output, "GCS started", `${where}: ${line}`);
      continue;
    }
    // A shell on a terminal, or on a machine's serial console.
    const isInteractive = / -it | boot$|\/bin\/sh'$/.test(line);
    const { status, output } = isInteractive
      ? await runOnTerminal(line, around)
      : await run(line, "", around);
    const wanted = Number(/exit (\d+)'$/.exec(line)?.[1] ?? 0);
    t.equal(status, wanted, `${where}: ${line}: ${output.slice(-2000)}`);
    if (line.startsWith("qemu-")) t.match(output, /BusyBox|v\d+\.\d+\.\d+/, line);
    if (shown !== "") t.ok(isShown(output, shown), `${line} shows\n${shown}\nnot\n${output}`);
  }
});

test("options that the documents name are the commands' own", async (t) => {
  const helps = new Map<string, string>();
  for (const { line, where } of commands.filter(({ line }) => line.startsWith("bin/lcow"))) {
    const [, verb = "", rest = ""] = /^bin\/lcow (\w+)(.*)$/.exec(line.split(" -- ")[0] ?? "") ?? [];
    const output = helps.get(verb) ?? (await run(`bin/lcow ${verb} --help`, "", around)).output;
    helps.set(verb, output);
    for (const [option] of rest.matchAll(/--[a-z-]+/g)) t.match(output, option, `${where}: ${line}`);
  }
});

test("the service's story", { timeout: 300_000 }, async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/lcd-`);
  const own = { ...around, environment: { ...environment, LCOW_STATE_DIRECTORY: directory } };
  let service: ChildProcess | undefined;
  t.teardown(async () => {
    // What a failure in the middle of the story has left.
    await run("bin/lcow rm --force web", "", own);
    if (service?.kill("SIGTERM") === true) await once(service, "close");
    rmSync(directory, { recursive: true, force: true });
  });
  const story = commands.filter(isService);
  t.match(story[0]?.line, /^bin\/lcow serve &$/);
  for (const { where, line, shown } of story) {
    const wanted = shown.replaceAll("/run/lcow", directory);
    if (line.endsWith(" &")) {
      const background = spawn("bash", ["-c", `exec ${line.slice(0, -2)}`], {
        cwd: root,
        env: own.environment,
      });
      service = background;
      const said = await new Promise<string>((resolve) => {
        for (const stream of [background.stdout, background.stderr]) {
          stream.once("data", (chunk: Buffer) => resolve(chunk.toString()));
        }
      });
      t.ok(isShown(said, wanted), `${line}: ${said}`);
      continue;
    }
    const { status, output } = line.includes(" -it ")
      ? await runOnTerminal(line, own)
      : await run(line, "", own);
    t.equal(status, 0, `${where}: ${line}: ${output}`);
    if (shown !== "") t.ok(isShown(output, wanted), `${line} shows\n${wanted}\nnot\n${output}`);
  }
  t.notOk(existsSync(`${directory}/systems/web`));
});
