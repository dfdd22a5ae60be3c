/** lcow(1): all verbs and options are in it, and roff takes nothing in them for its own. */
import { execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "tap";
import { formatNames } from "../../src/cli/arguments.ts";
import { renderManual, renderOption } from "../../src/cli/manual.ts";
import { GLOBAL_OPTIONS, verbs } from "../../src/cli/verbs.ts";

const root = join(import.meta.dirname, "../..");

/** As on a terminal too wide for any line to be broken, without bold and without what it is made of. */
function show(page: string): string {
  const args = ["-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u", "-rLL=2000n", "-rHY=0"];
  const { stdout, stderr, status } = spawnSync("groff", args, { input: page, encoding: "utf8" });
  if (status !== 0 || stderr !== "") throw new Error(`groff ended with ${status}: ${stderr}`);
  return stdout.replaceAll(/[\u2010\u2212]/gu, "-");
}

/** Blanks that roff has stretched or put after a sentence. */
const flat = (text: string) => text.replaceAll(/\s+/g, " ").trim();

test("every verb and every option is there, as the help has it, and groff has nothing to complain of", async (t) => {
  const page = await renderManual();
  const shown = show(page);
  const all = flat(shown);
  for (const { name, aliases = [], summary, load } of verbs) {
    t.ok(all.includes(`${[name, ...aliases].join(", ")} ${flat(summary)}`), `${name} is in the list`);
    const [, section = ""] = shown.split(`\nLCOW ${name.toUpperCase()}\n`);
    const text = flat(section.split(/\n(?=\S)/)[0] ?? "");
    const { verb } = await load();
    t.ok(text.startsWith(`lcow ${name} [OPTIONS]`), text.slice(0, 80));
    for (const option of verb.options) {
      const value = option.value === undefined ? "" : ` ${option.value}`;
      const wanted = flat(`${formatNames(option).join(", ")}${value} ${option.help}`);
      t.ok(text.includes(wanted), `lcow ${name}: ${wanted}`);
    }
    for (const words of [verb.about, verb.notes ?? ""])
      t.ok(
        text.includes(flat(words.split("\n")[0] ?? "").replaceAll("`", "")),
        `lcow ${name}: ${words.slice(0, 60)}`,
      );
  }
  for (const option of GLOBAL_OPTIONS)
    t.ok(all.includes(`${formatNames(option).join(", ")} ${flat(option.help)}`));
  t.equal(await renderManual(), page, "the same of the same sources");
  t.match(page, /^[\n\x20-\x7e]*$/, "ASCII");
});

test("hyphens, backslashes, quotes and dots are what they are", (t) => {
  const help = '.TH is no request,\n\'nor this: \\fBx\\fR \\n a-b --c "d" `cmd --x` ~ ^ ` é %';
  const page = `.TH X 1\n${renderOption({ name: "an-option", short: "a", value: "A-B", help })}`;
  t.notMatch(page, /(?<!\\)-/, "each hyphen is one that can be copied");
  t.match(
    flat(show(page)),
    '-a, --an-option A-B .TH is no request, \'nor this: \\fBx\\fR \\n a-b --c "d" cmd --x ~ ^ ` é %',
  );
  t.end();
});

test("each variable that the sources ask for is told", async (t) => {
  const sources = globSync("src/**/*.ts", { cwd: root }).map((file) =>
    readFileSync(join(root, file), "utf8"),
  );
  const names = new Set(sources.flatMap((text) => text.match(/\bLCOW_[A-Z_]+\b/g) ?? []));
  t.ok(names.size >= 4, [...names].join(", "));
  const shown = show(await renderManual());
  for (const name of names) t.match(shown, new RegExp(`\\n +${name}\\n`), name);
});

test("scripts/man.ts writes it", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "lcow-man-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, "lcow.1");
  execFileSync(join(root, "bin/node-pinned"), [join(root, "scripts/man.ts"), file]);
  t.equal(readFileSync(file, "utf8"), await renderManual());
  const unnamed = spawnSync(join(root, "bin/node-pinned"), [join(root, "scripts/man.ts")], {
    encoding: "utf8",
  });
  t.match(unnamed, { status: 2, stderr: /usage: / });
});
