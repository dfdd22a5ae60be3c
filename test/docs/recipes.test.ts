import { execFile } from "node:child_process";
import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { type Test, test } from "tap";
import * as image from "../../rootfs/image.ts";
import { codeSpans, documentOf, root } from "./markdown.ts";

const execute = promisify(execFile);

/** The sources again, for a test to add to. */
function checkout(t: Test): string {
  const directory = t.testdir({});
  for (const name of ["src", "native", "package.json"]) {
    cpSync(`${root}${name}`, `${directory}/${name}`, { recursive: true });
  }
  symlinkSync(`${root}node_modules`, `${directory}/node_modules`);
  return directory;
}

function edit(file: string, before: string, after: string): void {
  const text = readFileSync(file, "utf8");
  if (!text.includes(before)) throw new Error(`${file} has no ${before}`);
  writeFileSync(file, text.replace(before, after));
}

test("a new message: the compiler names the table that lacks it, and what its row lacks", async (t) => {
  const directory = checkout(t);
  const row = "Ponder: { type: 0x10100e01, request: lifecycle.plainRequest";
  const last = "} as const satisfies Record<string, MessageRow>;";
  edit(`${directory}/src/protocol/messages.ts`, last, `  ${row} },\n${last}`);
  const { compilerOptions } = JSON.parse(readFileSync(`${root}tsconfig.json`, "utf8"));
  writeFileSync(`${directory}/tsconfig.json`, JSON.stringify({ compilerOptions, include: ["src"] }));
  const compiler = [`${root}node_modules/typescript/bin/tsc`, "-p", directory];
  const { stdout } = await execute(process.execPath, compiler, { cwd: directory }).catch((error) => error);
  for (const [file, lacks] of [
    ["src/protocol/messages.ts", "response"],
    ["src/gcs/bridge/handlers/table.ts", "Ponder"],
  ] as const) {
    const line = stdout.split("\n").find((text: string) => text.startsWith(`${file}(`));
    t.match(line, `Property '${lacks}' is missing`, `the recipe's ${file}`);
    t.ok(codeSpans(documentOf("docs/recipes.md")).includes(file), file);
  }
});

test("a new verb: a file and an entry are all it takes", async (t) => {
  const directory = checkout(t);
  writeFileSync(
    `${directory}/src/cli/service/ponder.ts`,
    `import { print } from "../output.ts";
import type { Verb } from "../verb.ts";

export const verb: Verb = {
  operands: [{ name: "THING" }],
  about: "Ponders.",
  options: [{ name: "long", help: "ponder longer" }],
  async run(found) {
    await print(\`pondered \${found.operands[0]}\\n\`);
    return 0;
  },
};
`,
  );
  edit(
    `${directory}/src/cli/verbs.ts`,
    `  { name: "create"`,
    `  { name: "ponder", summary: "ponder a thing", load: () => import("./service/ponder.ts") },\n  { name: "create"`,
  );
  const lcow = async (...words: string[]) =>
    await execute(process.execPath, [`${directory}/src/cli/main.ts`, ...words]).catch((error) => error);
  t.equal((await lcow("ponder", "life")).stdout, "pondered life\n");
  t.match((await lcow("--help")).stdout, "ponder a thing");
  t.match(
    (await lcow("ponder", "--help")).stdout,
    /Usage: lcow ponder \[OPTIONS\] THING[\s\S]*--long +ponder longer/,
  );
  t.match(await lcow("ponder"), { code: 2, stderr: /needs a THING/ });
});

test("the image's description has what the recipe names", async (t) => {
  const { prose } = documentOf("docs/recipes.md");
  const [, recipe = ""] = prose.split("## A file in the image");
  const names = [...recipe.matchAll(/`([a-z]+[A-Z]?\w*)`/g)]
    .map(([, name = ""]) => name)
    .filter((name) => name !== "native");
  t.ok(names.length >= 5);
  for (const name of names) t.ok(name in image, name);
});
