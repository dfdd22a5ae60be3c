/** Values made from a valid one by changing some fields, and texts made from a valid one by changing some characters. */
import fc from "fast-check";
import { pathsOf, withField } from "../../protocol/mutations.ts";
import { edgeNumber, edgeText } from "./bytes.ts";

export interface FieldEdit {
  /** Which field, of all there are at any depth, counted around. */
  readonly field: number;
  /** What it becomes; the field goes when there is none. */
  readonly value?: unknown;
}

export interface TextEdit {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

const smallJson = fc.oneof(
  { weight: 3, arbitrary: edgeNumber },
  { weight: 3, arbitrary: edgeText },
  { weight: 2, arbitrary: fc.constantFrom<unknown>(null, true, false, [], {}, [null], { a: 1 }, [[]], [""]) },
  // Names without escapes, which Node can misread: targets/json.ts.
  {
    weight: 1,
    arbitrary: fc.jsonValue({ maxDepth: 2 }).filter((value) => !JSON.stringify(value).includes("\\")),
  },
);

export const fieldEdits: fc.Arbitrary<FieldEdit[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ field: fc.nat(2000), value: smallJson }) },
    { weight: 1, arbitrary: fc.record({ field: fc.nat(2000) }) },
  ),
  { maxLength: 4 },
);

export const textEdits: fc.Arbitrary<TextEdit[]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<TextEdit[]>([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.record({
        at: fc.nat(4000),
        remove: fc.nat(4),
        insert: fc.oneof(
          edgeText,
          fc.constantFrom("{", "}", "[", "]", ":", ",", '"', "1e999", "9".repeat(40), '"__proto__":'),
        ),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  },
);

export function editFields(sample: unknown, edits: readonly FieldEdit[]): unknown {
  let value = sample;
  for (const { field, value: replacement } of edits) {
    const paths = pathsOf(value);
    const path = paths[field % Math.max(1, paths.length)];
    if (path !== undefined) value = withField(value, path, replacement);
  }
  return value;
}

export function editText(text: string, edits: readonly TextEdit[]): string {
  let edited = text;
  for (const { at, remove, insert } of edits) {
    const from = at % (edited.length + 1);
    edited = edited.slice(0, from) + insert + edited.slice(from + remove);
  }
  return edited;
}
