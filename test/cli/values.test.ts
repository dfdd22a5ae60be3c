/** What can be typed as a value, and how it is read; nothing is started. */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Test, test } from "tap";
import { UsageError } from "../../src/cli/arguments.ts";
import { readEnvironmentFile } from "../../src/cli/options/environment-file.ts";
import { readSince } from "../../src/cli/service/since.ts";
import {
  readCount,
  readCpus,
  readHostname,
  readMemory,
  readSignal,
  readSize,
  readSystemName,
  readUser,
  readVariable,
} from "../../src/cli/values.ts";
import { LONGEST_TIMER_MS } from "../../src/common/deadline.ts";

type Reader = (text: string, what: string) => unknown;

function check(
  t: Pick<Test, "equal" | "ok">,
  read: Reader,
  good: readonly (readonly [string, unknown])[],
  bad: readonly string[],
): void {
  for (const [text, value] of good) t.equal(read(text, "--x"), value, `"${text}"`);
  for (const text of bad)
    t.ok(
      isRefused(() => read(text, "--x")),
      `${JSON.stringify(text)} is refused`,
    );
}

function isRefused(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch (error) {
    return error instanceof UsageError;
  }
}

const MIB = 1024 ** 2;

test("sizes are Docker's: bytes, or units of 1024 with a suffix", async (t) => {
  check(
    t,
    readSize,
    [
      ["1", 1],
      ["1024", 1024],
      ["512b", 512],
      ["512k", 512 * 1024],
      ["64m", 64 * MIB],
      ["64M", 64 * MIB],
      ["64mb", 64 * MIB],
      ["64MiB", 64 * MIB],
      ["64 m", 64 * MIB],
      ["1g", 1024 * MIB],
      ["1.5g", 1536 * MIB],
      [".5g", 512 * MIB],
      ["1t", 1024 ** 4],
      ["1p", 1024 ** 5],
    ],
    [
      ...[
        "",
        " ",
        "0",
        "0m",
        "-1",
        "-64m",
        "+64m",
        "1e3",
        "1e3m",
        "0x40",
        "64x",
        "64mm",
        "64bb",
        "64im",
        "m",
        ".",
      ],
      ...[
        "1.2.3g",
        "64  m",
        " 64m",
        "64m ",
        "64m\n",
        "1_000",
        "1,5g",
        "９m",
        "Infinity",
        "NaN",
        "9".repeat(40),
      ],
      ...["9007199254740992", "8p8", "16p"],
    ],
  );
  check(
    t,
    readMemory,
    [
      ["6m", 6 * MIB],
      ["10000k", 10 * MIB],
      ["1g", 1024 * MIB],
    ],
    ["64", "5m", "1b", "lots"],
  );
});

test("processors, counts and signals have bounds", async (t) => {
  const most = availableParallelism();
  check(
    t,
    readCpus,
    [
      ["1", 1],
      ["0.5", 0.5],
      [".25", 0.25],
      [String(most), most],
    ],
    [
      "0",
      "0.001",
      "-1",
      "1e0",
      "0x1",
      "",
      "two",
      "1.5.2",
      String(most + 1),
      `${most}.1`,
      "99999",
      "9999999999999",
    ],
  );
  check(
    t,
    readCount(0, LONGEST_TIMER_MS),
    [
      ["0", 0],
      ["10", 10],
      ["2147483647", 2 ** 31 - 1],
    ],
    ["", "-1", "1.5", "1e3", "0x10", " 1", "soon", "2147483648", "99999999999", "9".repeat(400)],
  );
  check(
    t,
    readSignal,
    [
      ["TERM", 15],
      ["SIGTERM", 15],
      ["sigterm", 15],
      ["9", 9],
      ["RTMIN", 34],
      ["SIGRTMIN+3", 37],
      ["RTMAX-1", 63],
      ["64", 64],
    ],
    [
      "",
      "0",
      "65",
      "-9",
      "1.5",
      "0x9",
      "SIG",
      "NOISE",
      "RTMIN+31",
      "RTMAX+1",
      "RTMIN-1",
      "constructor",
      "__proto__",
    ],
  );
});

test("times: so long ago, seconds since 1970, and dates that there are", async (t) => {
  const now = Date.UTC(2026, 10, 25, 12);
  check(
    t,
    (text, what) => readSince(text, what, now),
    [
      ["0", 0],
      ["1764043200", 1_764_043_200_000],
      ["1764043200.5", 1_764_043_200_500],
      ["0s", now],
      ["1500ms", now - 1500],
      ["1h30m", now - 5_400_000],
      ["1.5h", now - 5_400_000],
      ["2d", now - 2 * 86_400_000],
      ["99999999h", 0],
      ["2024-02-29T00:00Z", Date.UTC(2024, 1, 29)],
      ["2026-11-25T12:00:00.250+01:00", Date.UTC(2026, 10, 25, 11) + 250],
      ["2026-11-25", new Date(2026, 10, 25).getTime()],
    ],
    [
      ...["", " ", "now", "yesterday", "-1s", "+1s", "1e3", "0x10", "NaN", "m", "1w", "99999999999999999"],
      ...[
        "2026-13-01",
        "2026-02-30",
        "2026-02-29T12:00",
        "2026-04-31",
        "2026-11-25T25:00",
        "2026-11-25 12:00",
      ],
    ],
  );
});

test("names, host names and users that could never be right are refused", async (t) => {
  const same = (texts: readonly string[]) => texts.map((text) => [text, text] as const);
  check(t, readSystemName, same(["a", "web-1", "a.b_c+d", "x".repeat(255)]), [
    ...[
      "",
      " ",
      ".",
      "..",
      "/",
      "a/b",
      "../a",
      "-a",
      "_a",
      "a b",
      "a\n",
      "a\0b",
      "a\x1b[2J",
      "é",
      "x".repeat(256),
    ],
    "00000000-0000-0000-0000-000000000000",
  ]);
  check(t, readHostname, same(["web", "web-1.example", "x".repeat(64)]), [
    "",
    ".",
    "a..b",
    "-a",
    "a-",
    "a b",
    "a_/",
    "x".repeat(65),
    "ü",
    "a\nb",
  ]);
  check(t, readUser, same(["0", "1000:1000", "nobody", "john.doe:users", "4294967294", "0x10"]), [
    "",
    ":",
    "1:",
    ":1",
    "1:2:3",
    "-5",
    "4294967295",
    "99999999999",
    "a b",
    "a\nb",
    "a/b",
    "+1",
    "1.5",
    "1.",
    "nobody:+1",
  ]);
  try {
    readSystemName(`evil\x1b[2J${"x".repeat(300)}`, 'NAME "..."');
    t.fail("it was accepted");
  } catch (error) {
    t.match((error as Error).message, /^[ -~]{1,300}$/, "what is told does nothing to a terminal");
  }
});

test("variables: NAME=VALUE as it is, NAME for the value here", async (t) => {
  process.env.LCOW_TEST_SET = "here = 1";
  t.teardown(() => delete process.env.LCOW_TEST_SET);
  check(
    t,
    readVariable,
    [
      ["A=b=c", "A=b=c"],
      ["A=", "A="],
      ["LCOW_TEST_SET", "LCOW_TEST_SET=here = 1"],
      ["LCOW_TEST_UNSET", undefined],
    ],
    ["", "=", "=x"],
  );
});

test("an environment file is Docker's: comments, names alone, values as they are", async (t) => {
  const directory = t.testdir();
  process.env.LCOW_TEST_SET = "here";
  t.teardown(() => delete process.env.LCOW_TEST_SET);
  const read = (content: string | Buffer) => {
    writeFileSync(`${directory}/env`, content);
    return readEnvironmentFile(`${directory}/env`, "--env-file env");
  };
  t.strictSame(
    read(
      '\ufeffA=1\r\n# a comment\n\n   \n  B="quoted" # no comment \nC=\\n$A\nD=a=b\nE=\nLCOW_TEST_SET\nLCOW_TEST_UNSET\n  #x\nF=last',
    ),
    ["A=1", 'B="quoted" # no comment ', "C=\\n$A", "D=a=b", "E=", "LCOW_TEST_SET=here", "F=last"],
  );
  t.strictSame(read(""), []);
  t.strictSame(read(`A=${"x".repeat(100_000)}`), [`A=${"x".repeat(100_000)}`]);
  const bad: [string | Buffer, RegExp][] = [
    ["A=1\n=2\n", /^--env-file env, line 2: "" is no name/],
    ["A B=1", /line 1: "A B" is no name/],
    ["A =1", /line 1: "A " is no name/],
    ["A=1\nNAME \n", /line 2: "NAME " is no name/],
    [Buffer.from([0x41, 0x3d, 0xff, 0xfe]), /is no text: it has bytes that are no UTF-8/],
    ["A=1\0B=2", /is no text: it has a zero byte/],
    ["A=1".padEnd(200_000, "x"), /line 1 is longer than 131071 bytes/],
    ["A=1\n".repeat(1_000_000), /is larger than 2 MiB/],
  ];
  for (const [content, message] of bad) t.throws(() => read(content), { message });
  const what = "--env-file it";
  mkdirSync(`${directory}/sub`);
  t.throws(() => readEnvironmentFile(`${directory}/none`, what), {
    message: /^--env-file it cannot be read: ENOENT/,
  });
  t.throws(() => readEnvironmentFile(`${directory}/sub`, what), { message: /cannot be read: EISDIR/ });
  t.throws(() => readEnvironmentFile("", what), { message: /cannot be read/ });
  t.throws(() => readEnvironmentFile("/dev/zero", what), { message: /is larger than 2 MiB/ });
});
