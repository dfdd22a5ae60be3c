import { readFileSync } from "node:fs";
import { test } from "tap";
import { RULES } from "../../scripts/import-rules.ts";
import { ANNOTATIONS } from "../../src/gcs/uvm/spec/annotations.ts";
import * as hcs from "../../src/hcs/index.ts";
import { errorFromResponse, formatHresult, hresultOfCode } from "../../src/protocol/hresult.ts";
import {
  MESSAGE_NAMES,
  NOTIFICATION_TYPE,
  requestTypeOf,
  responseTypeOf,
} from "../../src/protocol/messages.ts";
import { RESOURCE_TYPES } from "../../src/protocol/schemas/modify-settings.ts";
import { documentOf, root, table } from "./markdown.ts";

const protocol = documentOf("docs/protocol.md");

test("the protocol's messages", async (t) => {
  const rows = table(protocol, "message", "request", "response");
  const notification = rows.pop();
  t.strictSame(
    rows,
    MESSAGE_NAMES.map((name) => [
      name,
      formatHresult(requestTypeOf(name)),
      formatHresult(responseTypeOf(name)),
    ]),
  );
  t.match(notification?.[1], formatHresult(NOTIFICATION_TYPE));
  for (const name of MESSAGE_NAMES)
    t.match(protocol.text, new RegExp(`^###.*\\b${name}\\b`, "m"), `${name} is described`);
});

test("the annotations that the agent knows", async (t) => {
  const rows = table(documentOf("docs/annotations.md"), "annotation", "for", "what it does");
  t.strictSame(rows.map(([name]) => name).toSorted(), Object.values(ANNOTATIONS).toSorted());
});

test("the protocol's resources, each with its settings, in the table's order", async (t) => {
  const rows = table(protocol, "resource", "settings");
  t.strictSame(
    rows.map(([name]) => name),
    RESOURCE_TYPES,
  );
  for (const [name = "", settings] of rows) t.not(settings, "", name);
});

test("the protocol's errors, each code of the project with its HRESULT", async (t) => {
  const rows = table(protocol, "code", "HRESULT", "when");
  const source = readFileSync(`${root}src/common/errors.ts`, "utf8");
  const codes = [...source.matchAll(/^ {2}\| "([A-Z_]+)"/gm)].map(([, code = ""]) => code as hcs.ErrorCode);
  t.strictSame(rows.map(([code]) => code).toSorted(), codes.toSorted(), "all of them, and no other");
  for (const [code = "", number = "", when] of rows) {
    t.equal(number, formatHresult(hresultOfCode(code as hcs.ErrorCode)), code);
    t.not(when, "", code);
  }
  // "A host makes codes of HRESULTs again: the first code above that has it", but for those that it names.
  const exceptions = new Map(
    [...protocol.prose.matchAll(/(0x[0-9a-f]{8}):\s+`([A-Z_]+)`/g)].map(([, n, code]) => [n, code]),
  );
  for (const number of new Set(rows.map(([, value = ""]) => value))) {
    const [first] = rows.find(([, value]) => value === number) ?? [];
    const expected = exceptions.get(number) ?? (number === "0x80004005" ? "RUNTIME_FAILED" : first);
    t.equal(errorFromResponse({ Result: Number(number) | 0 } as never).code, expected, number);
  }
});

test("the host side's questions, and the codes they answer yes for", async (t) => {
  const all = Object.values(hcs.hcsErrorCodes);
  for (const [question = "", codes = ""] of table(documentOf("docs/hcs.md"), "question", "yes for")) {
    const ask = (hcs as unknown as Record<string, (error: unknown) => boolean>)[question];
    if (ask === undefined) {
      t.fail(`there is no ${question}`);
      continue;
    }
    const yes = all.filter((code) => ask(new hcs.HcsError("op", code))).map(({ name }) => name);
    t.strictSame(yes.toSorted(), codes.match(/Err\w+/g)?.toSorted(), question);
  }
});

test("README's table of what works has each message and resource there is", async (t) => {
  const { text } = documentOf("README.md");
  for (const name of MESSAGE_NAMES) t.match(text, new RegExp(`\\b${name}\\b`), name);
  for (const name of RESOURCE_TYPES) t.match(text, new RegExp(`\\b${name}\\b`), name);
});

test("the rooms of the house, and what each may import", (t) => {
  const written = new Map<string, string[]>();
  for (const [rooms = "", , allowed = ""] of table(
    documentOf("docs/architecture.md"),
    "room",
    "what",
    "may import",
  ))
    for (const room of rooms.split(", ")) written.set(room, allowed.split(", "));
  const rules = Object.entries(RULES).map(([room, allowed]): [string, string[]] => {
    const name = (entry: string) => entry.replace(/\/?( \(types\))?$/, "");
    const told = allowed.map((entry) => `${entry.endsWith("(types)") ? "types of " : ""}${name(entry)}`);
    const anything = told.includes("src") && told.includes("native");
    return [name(room), anything ? ["anything"] : told.length === 0 ? ["nothing"] : told];
  });
  t.strictSame(new Map([...written].toSorted()), new Map(rules.toSorted()));
  t.end();
});
