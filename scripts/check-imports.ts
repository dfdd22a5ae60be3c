/*
 * Which room may import which, and that nothing imports itself in a circle. Reads every .ts file of the project with
 * a real parser, so that comments and strings are no imports; every kind of import counts: static, re-export,
 * dynamic, type-only.
 *
 *   check-imports.ts [DIRECTORY]
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { parseSync } from "oxc-parser";
import { LEAVES, RULES } from "./import-rules.ts";

const ROOTS = ["src", "native", "rootfs", "bench", "scripts", "examples", "test"];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

/** Another tree may be given, so that the rules can be tested against one that breaks them. */
const project = resolve(process.argv[2] ?? join(import.meta.dirname, ".."));

function filesToRead(): string[] {
  return ROOTS.flatMap((root) => globSync(`${root}/**/*.ts`, { cwd: project }))
    .filter((file) => !/(^|\/)(node_modules|build|out|data)\//.test(file))
    .sort();
}

/** The project's own imports of a file; packages and Node's modules are none. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(project, file), "utf8");
  const { module, errors } = parseSync(file, text);
  if (errors[0]) throw new Error(`${file} does not parse: ${errors[0].message}`);
  const found: Import[] = [];
  const add = (specifier: string, offset: number, typeOnly: boolean) => {
    if (!specifier.startsWith(".")) return;
    const line = text.slice(0, offset).split("\n").length;
    found.push({ from: file, to: normalize(join(dirname(file), specifier)), line, typeOnly });
  };
  for (const { moduleRequest, entries, start } of module.staticImports) {
    // `import "x"` has no entries and runs the module; `import { type A }` alone does not, once types are stripped
    // (verbatimModuleSyntax keeps `import {} from`, which is not a cycle worth having either).
    add(moduleRequest.value, start, entries.length > 0 && entries.every((entry) => entry.isType));
  }
  for (const { entries, start } of module.staticExports) {
    const sources = new Map<string, boolean>();
    for (const { moduleRequest, isType } of entries) {
      if (moduleRequest)
        sources.set(moduleRequest.value, (sources.get(moduleRequest.value) ?? true) && isType);
    }
    for (const [specifier, typeOnly] of sources) add(specifier, start, typeOnly);
  }
  for (const { moduleRequest, start } of module.dynamicImports) {
    const literal = /^(["'`])(.*)\1$/s.exec(text.slice(moduleRequest.start, moduleRequest.end))?.[2];
    if (literal !== undefined) add(literal, start, false);
  }
  return found;
}

/** What is built upon; tools and tests import what they need. */
function hasRoom(file: string): boolean {
  return file.startsWith("src/") || file.startsWith("native/");
}

/** Where not even types may go round: what is read from its leaves upwards. */
function isLayered(file: string): boolean {
  return hasRoom(file) || file.startsWith("rootfs/");
}

function roomOf(file: string): string | undefined {
  return Object.keys(RULES)
    .filter((room) => (room.endsWith("/") ? file.startsWith(room) : file === room))
    .sort((one, other) => other.length - one.length)[0];
}

/** What is wrong with an import out of src or native, or undefined. */
function breach({ from, to, typeOnly }: Import): string | undefined {
  const room = roomOf(from);
  if (room === undefined) return "the importing file is in no room";
  const own = room.endsWith("/") ? to.startsWith(room) && roomOf(to) === room : to === room;
  if (own || to.startsWith(LEAVES)) return undefined;
  const allowed = RULES[room] ?? [];
  for (const entry of allowed) {
    const [path = "", typesOnly] = entry.split(" ");
    if (to.startsWith(path) && (typesOnly === undefined || typeOnly)) return undefined;
    if (to.startsWith(path)) return `${room} may import only types from ${path}`;
  }
  return `${room} may import ${allowed.join(", ") || "nothing"} and ${LEAVES} only`;
}

/** A shortest circle through some file, as a list of files, or undefined. */
function cycleIn(imports: readonly Import[]): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const finished = new Set<string>();
  for (const start of next.keys()) {
    const path: string[] = [];
    const walk = (file: string): string[] | undefined => {
      const at = path.indexOf(file);
      if (at >= 0) return [...path.slice(at), file];
      if (finished.has(file)) return undefined;
      path.push(file);
      for (const target of next.get(file) ?? []) {
        const cycle = walk(target);
        if (cycle) return cycle;
      }
      path.pop();
      finished.add(file);
      return undefined;
    };
    const cycle = walk(start);
    if (cycle) return cycle;
  }
  return undefined;
}

const files = filesToRead();
const imports = files.flatMap(importsOf);
const problems: string[] = [];
for (const edge of imports) {
  const place = `${edge.from}:${edge.line} imports ${edge.to}`;
  if (!files.includes(edge.to) && edge.to.endsWith(".ts")) problems.push(`${place}: no such file`);
  if (!hasRoom(edge.from)) continue;
  const wrong = breach(edge);
  if (wrong) problems.push(`${place}: ${wrong}`);
}
const loading = cycleIn(imports.filter((edge) => !edge.typeOnly));
if (loading) problems.push(`modules load each other in a circle: ${loading.join(" -> ")}`);
const types = cycleIn(imports.filter((edge) => isLayered(edge.from)));
if (types && !loading)
  problems.push(`src, native or rootfs refers to itself in a circle, types included: ${types.join(" -> ")}`);
for (const file of files) {
  if (hasRoom(file) && !roomOf(file)) problems.push(`${file} is in no room; give it one in import-rules.ts`);
}
if (files.length === 0) problems.push(`no .ts file found under ${ROOTS.join(", ")}`);
// A rule for a room that is gone would guard nothing.
for (const room of Object.keys(RULES)) {
  if (!files.some((file) => roomOf(file) === room))
    problems.push(`no file is in the room ${room}; drop its rule`);
}

for (const problem of problems) console.error(problem);
console.log(`check-imports: ${files.length} files, ${imports.length} imports, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
