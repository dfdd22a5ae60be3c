import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import t from "tap";

const NATIVE = join(import.meta.dirname, "../../native");

/** Which object files' functions each object file uses: what the linker sees, whatever the headers say. */
function usesOf(directory: string): Map<string, Set<string>> {
  execFileSync("make", ["-s", "-C", directory], { stdio: ["ignore", "ignore", "inherit"] });
  // An object whose source is gone is none of the program's.
  const objects = globSync("*.c", { cwd: directory }).map((file) => file.replace(/c$/, "o"));
  const nm = ["--extern-only", "--print-file-name", "--portability", ...objects];
  const listed = execFileSync("nm", nm, { cwd: join(directory, "out"), encoding: "utf8" });
  const owners = new Map<string, string>();
  const wanted: { readonly file: string; readonly symbol: string }[] = [];
  for (const [, file = "", symbol = "", type] of listed.matchAll(/^(\S+): (\S+) (\S)/gm)) {
    if (type === "U") wanted.push({ file, symbol });
    // Several programs may be made of one directory's files; each has its own main.
    else if (symbol !== "main") owners.set(symbol, file);
  }
  const uses = new Map(objects.map((file) => [file, new Set<string>()]));
  for (const { file, symbol } of wanted) {
    const owner = owners.get(symbol);
    if (owner !== undefined) uses.get(file)?.add(owner);
  }
  return uses;
}

/** Peels off what uses nothing that is left, until only circles and what leads to them remain. */
function inCircles(uses: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const left = new Map(uses);
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [file, used] of left) if (![...used].some((other) => left.has(other))) left.delete(file);
  }
  return [...left.keys()].sort();
}

t.test("what is in a circle, or leads to one, is found", (t) => {
  const uses = new Map([
    ["top", new Set(["a", "leaf"])],
    ["a", new Set(["b"])],
    ["b", new Set(["a", "leaf"])],
    ["leaf", new Set<string>()],
  ]);
  t.same(inCircles(uses), ["a", "b", "top"]);
  t.end();
});

for (const [program, lowest] of [
  ["forwarder", "report.o"],
  ["init", "vsock.o"],
] as const) {
  t.test(`native/${program}: files call downwards only`, (t) => {
    const uses = usesOf(join(NATIVE, program));
    t.ok(
      [...uses.values()].some((used) => used.has(lowest)),
      `the calls of ${uses.size} files were read`,
    );
    t.same(inCircles(uses), []);
    t.end();
  });
}
