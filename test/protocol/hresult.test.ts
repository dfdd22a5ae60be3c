import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { AgentError, type ErrorCode } from "../../src/common/errors.ts";
import {
  errorFromResponse,
  errorResponseFields,
  formatHresult,
  fromSigned,
  GuestError,
  hresultOf,
  hresultOfCode,
  toSigned,
} from "../../src/protocol/hresult.ts";

const source = join(import.meta.dirname, "../../src/common/errors.ts");
const union = /export type ErrorCode =(.*?);/s.exec(readFileSync(source, "utf8"))?.[1] ?? "";
const everyCode = Array.from(union.matchAll(/"([A-Z_]+)"/g), (match) => match[1] as ErrorCode);

const specific: Partial<Record<ErrorCode, number>> = {
  SYSTEM_NOT_FOUND: 0xc037010e,
  CONTAINER_DOES_NOT_EXIST: 0xc037010e,
  SYSTEM_ALREADY_EXISTS: 0xc037010f,
  CONTAINER_ALREADY_EXISTS: 0xc037010f,
  SYSTEM_ALREADY_STOPPED: 0xc0370110,
  CONTAINER_NOT_RUNNING: 0xc0370110,
  INVALID_STATE: 0x80370105,
  CONTAINER_STILL_RUNNING: 0x80370105,
  CONTAINER_NOT_STOPPED: 0x80370105,
  PROCESS_NOT_FOUND: 0x80070490,
  NAMESPACE_NOT_FOUND: 0x80070490,
  INVALID_ARGUMENT: 0x80070057,
  INVALID_CONTAINER_ID: 0x80070057,
  INVALID_DATA: 0x8007000d,
  INVALID_JSON: 0xc037010d,
  UNKNOWN_MESSAGE: 0x80004001,
  UNSUPPORTED_PROTOCOL_VERSION: 0xc037010c,
  NOT_SUPPORTED: 0x80004001,
  TIMEOUT: 0xc0370109,
};

t.test("every error code has its HRESULT; those without one of their own fail", (t) => {
  t.ok(everyCode.length > 30, `${everyCode.length} codes`);
  for (const code of everyCode) {
    t.equal(formatHresult(hresultOfCode(code)), formatHresult(specific[code] ?? 0x80004005), code);
    t.equal(hresultOf(new AgentError(code, "x")), specific[code] ?? 0x80004005);
  }
  t.end();
});

t.test("every error code stands with its HRESULT in the protocol's documentation", (t) => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/protocol.md"), "utf8");
  for (const code of everyCode) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${code}\` |`));
    t.match(row ?? "", formatHresult(hresultOfCode(code)), code);
  }
  t.end();
});

t.test("the outermost coded error decides; without one it is a failure", (t) => {
  const missing = new AgentError("SYSTEM_NOT_FOUND", "no container");
  t.equal(hresultOf(new AgentError("TIMEOUT", "late", { cause: missing })), 0xc0370109);
  t.equal(hresultOf(new Error("plain", { cause: missing })), 0xc037010e);
  for (const thrown of [new TypeError("x"), "text", undefined, null, 5])
    t.equal(hresultOf(thrown), 0x80004005);
  const loop = new Error("loop");
  loop.cause = loop;
  t.equal(hresultOf(loop), 0x80004005);
  t.end();
});

t.test("messages carry an HRESULT signed, people read it unsigned", (t) => {
  t.equal(toSigned(0xc037010e), -1070137074);
  t.equal(fromSigned(-1070137074), 0xc037010e);
  t.equal(toSigned(0), 0);
  for (const code of everyCode) t.equal(fromSigned(toSigned(hresultOfCode(code))), hresultOfCode(code));
  t.end();
});

t.test("a failed reply says what, why and where", (t) => {
  function mountTheDisk(): never {
    throw new AgentError("MOUNT_FAILED", "cannot mount /dev/sda", { cause: new Error("EINVAL") });
  }
  try {
    mountTheDisk();
  } catch (error) {
    const fields = errorResponseFields(error);
    t.equal(fields.Result, 0x80004005 | 0);
    t.equal(fields.ErrorMessage, "cannot mount /dev/sda: EINVAL");
    t.match(fields.ErrorRecords, [
      {
        Result: fields.Result,
        Message: fields.ErrorMessage,
        ModuleName: "gcs",
        FileName: "hresult.test.ts",
        FunctionName: /mountTheDisk/,
        StackTrace: /^at .*mountTheDisk.*\n\s*at /,
      },
    ]);
    t.ok((fields.ErrorRecords[0]?.Line ?? 0) > 1);
  }
  t.match(errorResponseFields("only text"), {
    Result: 0x80004005 | 0,
    ErrorMessage: "only text",
    ErrorRecords: [{ FileName: "", Line: 0, FunctionName: "", StackTrace: "" }],
  });
  t.end();
});

t.test("a host makes a coded error of a guest's refusal", (t) => {
  const error = errorFromResponse({ Result: -1070137074, ErrorMessage: "gone" }, "signal process 5");
  t.ok(error instanceof GuestError && error instanceof AgentError);
  t.equal(error.code, "SYSTEM_NOT_FOUND");
  t.equal(error.message, "the guest refused signal process 5: gone (0xc037010e)");
  const codeOf = (hresult: number) => errorFromResponse({ Result: toSigned(hresult) }).code;
  t.equal(codeOf(0x80370105), "INVALID_STATE");
  t.equal(codeOf(0xc0370105), "INVALID_STATE");
  t.equal(codeOf(0x80070490), "PROCESS_NOT_FOUND");
  t.equal(codeOf(0xc037010b), "UNKNOWN_MESSAGE");
  t.equal(codeOf(0x80004001), "NOT_SUPPORTED");
  t.equal(codeOf(0x80004005), "RUNTIME_FAILED");
  t.equal(codeOf(0x80001234), "RUNTIME_FAILED");
  t.end();
});
