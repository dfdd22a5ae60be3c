import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { AgentError } from "../../../src/common/errors.ts";
import { MAXIMUM_DEPTH, parseJson, stringifyJson } from "../../../src/common/json.ts";
import { edgeNumber, edgeText } from "../generators/bytes.ts";
import { editText, type TextEdit, textEdits } from "../generators/edits.ts";
import { hold, property } from "../target.ts";

interface Input {
  readonly value: unknown;
  readonly text: readonly TextEdit[];
  /** Brackets around it. */
  readonly nested: number;
}

const value = fc.oneof(
  fc.jsonValue(),
  fc.dictionary(edgeText, fc.oneof(edgeNumber, edgeText, fc.jsonValue({ maxDepth: 1 })), { maxKeys: 6 }),
);

export const json = property<Input>({
  inputs: fc.record({
    value,
    text: textEdits,
    nested: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.constantFrom(1, MAXIMUM_DEPTH - 1, MAXIMUM_DEPTH, MAXIMUM_DEPTH + 1, 5000) },
    ),
  }),
  check(input) {
    const inner = editText(JSON.stringify(input.value), input.text);
    const text = "[".repeat(input.nested) + inner + "]".repeat(input.nested);
    let parsed: unknown;
    try {
      parsed = parseJson(text);
    } catch (error) {
      hold(error instanceof AgentError && error.code === "INVALID_JSON", () => String(error));
      return;
    }
    const engines = JSON.parse(text) as unknown;
    const printed = stringifyJson(parsed);
    // Node 26.10 (V8 14.6) can read a name that begins with an escape as one of a single backslash, when an object of
    // the same shape had that; docs/reliability.md.
    if (text.includes("\\")) return;
    // Not the values: 1e16 is a number, and what it is printed as an integer that is read as a bigint.
    const again = stringifyJson(parseJson(printed));
    hold(again === printed, () => `${printed} is read as ${again}`);
    // Large integers are rounded by the engine, and __proto__ is left out here.
    if (/\d{16}|e\d|__proto__|\\u/i.test(text)) return;
    hold(isDeepStrictEqual(parsed, engines), () => `${printed} instead of ${JSON.stringify(engines)}`);
  },
});
