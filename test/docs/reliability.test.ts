import { existsSync, globSync, readFileSync } from "node:fs";
import { test } from "tap";
import { documentOf, root, table } from "./markdown.ts";

/** Names of the tests in a file, as patterns: what is put into a name matches anything. */
function testsOf(file: string): RegExp[] {
  const source = readFileSync(file, "utf8");
  return [...source.matchAll(/\btest\(\s*(["'`])((?:\\.|(?!\1).)*)\1/gs)].map(([, , name = ""]) => {
    const parts = name.split(/\$\{[^}]*\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${parts.join(".+")}$`);
  });
}

test("each test that the table of faults names is there", async (t) => {
  const rows = table(
    documentOf("docs/reliability.md"),
    "fault",
    "what is done to cause it",
    "what happens",
    "test",
  );
  for (const [fault = "", cause, outcome, cited = ""] of rows) {
    t.ok(cause !== "" && outcome !== "", fault);
    for (const one of cited.split("; ")) {
      const [, file = "", name = ""] = /^([\w/.-]+\.test\.ts): (.+)$/.exec(one) ?? [];
      if (!t.ok(existsSync(`${root}test/${file}`), `${fault}: ${one}`)) continue;
      t.ok(
        testsOf(`${root}test/${file}`).some((pattern) => pattern.test(name)),
        `${file} has ${name}`,
      );
    }
  }
  // And the other way round.
  const cited = rows.flatMap(([, , , tests = ""]) => tests.split("; "));
  for (const file of globSync("gcs/faults/*.test.ts", { cwd: `${root}test` }))
    for (const pattern of testsOf(`${root}test/${file}`))
      t.ok(
        cited.some((one) => one.startsWith(`${file}: `) && pattern.test(one.slice(file.length + 2))),
        `${file}: ${pattern.source} is in the table`,
      );
});
