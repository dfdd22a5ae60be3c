import { PassThrough } from "node:stream";
import fc from "fast-check";
import { test } from "tap";
import { printable, printableJson, printableLines } from "../../src/common/printable.ts";
import { AgentOutput } from "../../src/hcs/uvm/agent-output.ts";
import { ConsoleTail } from "../../src/hcs/uvm/qemu/console-tail.ts";
import { errorFromResponse } from "../../src/protocol/hresult.ts";

/** All that a terminal or the reader of a log could be fooled with. */
const UNFIT =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\p{Default_Ignorable_Code_Point}\u2800]/u;
const UNFIT_BUT_LINES = new RegExp(
  UNFIT.source.replace("\\u0000-\\u001f", "\\u0000-\\u0008\\u000b-\\u001f"),
  "u",
);
/** Clears the screen, sets the title with C1 controls, writes backwards, forges a line. */
const HOSTILE = "\u001b[2J\u009d0;owned\u009c\u202etxt.exe\u2066\r\ninit: all is well\u0007\u0000\ud800";

test("text of a stranger cannot command a terminal, nor forge a line", (t) => {
  t.equal(
    printable(HOSTILE),
    "\\x1b[2J\\x9d0;owned\\x9c\\u{202e}txt.exe\\u{2066}\\r\\ninit: all is well\\x07\\x00\\u{d800}",
  );
  t.equal(
    printable("ad\u3164min\u2800\ufe0f\u{e0100}"),
    "ad\\u{3164}min\\u{2800}\\u{fe0f}\\u{e0100}",
    "unseen",
  );
  t.equal(printable("Grüße, 世界 👋"), "Grüße, 世界 👋", "what people write stays");
  t.equal(printable("x".repeat(5000)).length, 4096 + "... (904 more characters)".length);
  t.equal(
    printableLines("\u001b[1;31mred\u001b[0m\tone\r\ntwo\u001b]0;title\u0007\n"),
    "red\tone\ntwo\\x1b]0;title\\x07\n",
  );
  fc.assert(
    fc.property(fc.json({ stringUnit: "binary" }), (json) => {
      const shown = printableJson(json);
      t.same(JSON.parse(shown), JSON.parse(json), "the same value");
      return !UNFIT_BUT_LINES.test(shown);
    }),
    { numRuns: 50 },
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      return !UNFIT.test(printable(text)) && !UNFIT_BUT_LINES.test(printableLines(text));
    }),
  );
  t.end();
});

test("where a guest's text enters, it is made fit: errors, the agent's log, the console", async (t) => {
  const refusal = errorFromResponse({
    Result: -2147467259,
    ActivityId: "00000000-0000-0000-0000-000000000000",
    ErrorMessage: HOSTILE,
    ErrorRecords: [
      {
        Result: -2147467259,
        Message: HOSTILE,
        StackTrace: `at one\nat ${HOSTILE}`,
        ModuleName: "gcs",
        FileName: "",
        Line: 0,
        FunctionName: "",
      },
    ],
  });
  t.notMatch(refusal.message, UNFIT);
  t.notMatch(refusal.records[0]?.Message, UNFIT);
  t.notMatch(refusal.records[0]?.StackTrace, UNFIT_BUT_LINES);

  const source = new PassThrough();
  let shown = "";
  const output = new AgentOutput(source, (text) => {
    shown += text;
  });
  source.end(HOSTILE);
  await output.ended(1000);
  t.notMatch(shown, UNFIT_BUT_LINES);
  t.match(shown, /owned/);
  t.notMatch(output.lastWords(), UNFIT_BUT_LINES);

  const tail = new ConsoleTail();
  tail.push(`Kernel panic - not syncing: ${HOSTILE}`);
  t.notMatch(tail.panic(), UNFIT);
  t.notMatch(tail.lastLines(), UNFIT_BUT_LINES);
});
