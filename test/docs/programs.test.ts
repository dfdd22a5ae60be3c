import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { test } from "tap";
import { documents, root } from "./markdown.ts";

/** Beside docs/, so that the programs' imports hold; the compiler finds its settings there, too. */
const directory = `${root}out/documents-${process.pid}`;
const execute = promisify(execFile);
const TIMEOUT_MS = 120_000;

test("the programs in the documents are right by the compiler, run, and end", async (t) => {
  mkdirSync(directory);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const fences = documents.flatMap((document) => document.fences).filter(({ language }) => language === "ts");
  t.ok(fences.length >= 3);
  const files = fences.map(({ text, where }, index) => {
    const file = `${directory}/${index}.ts`;
    writeFileSync(file, text.replaceAll('"../src/', '"../../src/'));
    return { file, where };
  });
  writeFileSync(
    `${directory}/tsconfig.json`,
    JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"], exclude: [] }),
  );
  const compiler = [`${root}node_modules/typescript/bin/tsc`, "-p", directory];
  const { stdout: complaints } = await execute(process.execPath, compiler).catch((error) => error);
  t.equal(complaints, "");

  // Without a virtual machine, which the examples boot: it is the same library.
  writeFileSync(
    `${directory}/local.mjs`,
    `import { LocalDriver, setDriver } from "../../src/hcs/index.ts";\nsetDriver(new LocalDriver());\n`,
  );
  const preload = ["--import", `${directory}/local.mjs`];
  for (const { file, where } of files) {
    const options = { timeout: TIMEOUT_MS, cwd: directory };
    const result = await execute(process.execPath, [...preload, file], options).catch((error) => error);
    t.notOk(result.code || result.signal, `${where} ended well: ${result.stderr}`);
  }
});
