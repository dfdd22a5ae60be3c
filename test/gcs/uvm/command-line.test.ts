import t from "tap";
import { splitCommandLine } from "../../../src/gcs/uvm/command-line.ts";

const cases: [string, string[]][] = [
  ["", []],
  ["   ", []],
  ["sleep 100", ["sleep", "100"]],
  ["  a \t b\nc ", ["a", "b", "c"]],
  [`/bin/sh -c "echo 'a b'"`, ["/bin/sh", "-c", "echo 'a b'"]],
  [`a 'b "c" $d'`, ["a", 'b "c" $d']],
  [`a "" ''`, ["a", "", ""]],
  [`a"b"'c'd`, ["abcd"]],
  ["a\\ b", ["a b"]],
  [`"a\\"b" "a\\\\b" "a\\nb"`, ['a"b', "a\\b", "a\\nb"]],
  [`'a\\b'`, ["a\\b"]],
  ["a #comment b\nc", ["a", "c"]],
  ["a#b", ["a#b"]],
  ["$HOME *.txt | x", ["$HOME", "*.txt", "|", "x"]],
];

await t.test("splits as a shell quotes, and expands nothing", async (t) => {
  for (const [line, words] of cases) t.same(splitCommandLine(line), words, JSON.stringify(line));
});

await t.test("what is not closed is an error", async (t) => {
  for (const line of ["'a", '"a', "a\\"]) {
    t.throws(() => splitCommandLine(line), { code: "INVALID_ARGUMENT" }, line);
  }
});
