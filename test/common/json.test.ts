import fc from "fast-check";
import t from "tap";
import { AgentError } from "../../src/common/errors.ts";
import { MAXIMUM_DEPTH, parseJson, stringifyJson } from "../../src/common/json.ts";

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "none";
  } catch (error) {
    return error instanceof AgentError ? error.code : String(error);
  }
};

t.test("integers of any size survive, those a number holds as numbers", (t) => {
  const limit = "9223372036854771712";
  const text = `{"a":${limit},"b":[-${limit},18446744073709551615],"c":9007199254740991,"d":1.5,"e":"${limit}"}`;
  t.strictSame(parseJson(text), {
    a: 9223372036854771712n,
    b: [-9223372036854771712n, 18446744073709551615n],
    c: 9007199254740991,
    d: 1.5,
    e: limit,
  });
  t.equal(stringifyJson(parseJson(text)), text);
  t.equal(parseJson("9007199254740992"), 9007199254740992n);
  t.equal(parseJson("-9007199254740993"), -9007199254740993n);
  t.equal(parseJson(`1${"0".repeat(400)}`), 10n ** 400n, "beyond a double");
  t.equal(parseJson("1e20"), 1e20, "written as a float, it is one");
  t.end();
});

t.test("values round-trip, bigints among them, also inside strings of JSON", (t) => {
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.maxSafeInteger(),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }),
      fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
      fc.array(tie("tree")),
      fc.dictionary(
        fc.string().filter((key) => key !== "__proto__"),
        tie("tree"),
      ),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      const text = stringifyJson(value);
      const nested = parseJson(stringifyJson({ inner: text })) as { inner: string };
      return nested.inner === text && stringifyJson(parseJson(text)) === text;
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test("any text gives a value or INVALID_JSON", (t) => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.string({
      unit: fc.constantFrom("{", "}", "[", "]", '"', "\\", ",", ":", "1", "-", "e", "9".repeat(20), "null"),
    }),
  );
  fc.assert(
    fc.property(text, (value) => ["none", "INVALID_JSON"].includes(codeOf(() => parseJson(value)))),
    { numRuns: 1000 },
  );
  t.end();
});

t.test("depth is bounded, never a stack overflow", (t) => {
  const nest = (depth: number, open = "[", close = "]") => open.repeat(depth) + close.repeat(depth);
  t.equal(
    codeOf(() => parseJson(nest(MAXIMUM_DEPTH))),
    "none",
  );
  t.equal(
    codeOf(() => parseJson(nest(MAXIMUM_DEPTH + 1))),
    "INVALID_JSON",
  );
  t.equal(
    codeOf(() => parseJson(nest(2_000_000))),
    "INVALID_JSON",
  );
  t.equal(
    codeOf(() => parseJson("[".repeat(4_000_000))),
    "INVALID_JSON",
  );
  t.equal(
    codeOf(() => parseJson(`[${"9".repeat(20)},${nest(1_000_000)}]`)),
    "INVALID_JSON",
  );
  t.equal(
    codeOf(() => parseJson(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`)),
    "INVALID_JSON",
  );
  let deep: unknown = 1n;
  for (let depth = 0; depth < 100_000; depth++) deep = [deep];
  t.equal(
    codeOf(() => stringifyJson(deep)),
    "INVALID_JSON",
    "printing",
  );
  t.end();
});

t.test("numbers that nothing can hold are refused", (t) => {
  t.equal(
    codeOf(() => parseJson("1e400")),
    "INVALID_JSON",
  );
  t.equal(
    codeOf(() => parseJson("9".repeat(1_000_000))),
    "INVALID_JSON",
  );
  t.end();
});

t.test("__proto__ changes nothing but is left out; names of Object.prototype are names", (t) => {
  for (const number of ["1", "9223372036854771712"]) {
    const value = parseJson(`{"__proto__":{"evil":true},"a":{"__proto__":1,"b":${number}},"constructor":2}`);
    t.strictSame(Object.keys(value as object), ["a", "constructor"]);
    t.equal((value as { evil?: boolean }).evil, undefined);
    t.equal(Object.getPrototypeOf(value), Object.prototype);
  }
  t.equal(({} as { evil?: boolean }).evil, undefined);
  t.end();
});

t.test("the error says where and quotes nothing, since bodies hold secrets", (t) => {
  t.throws(() => parseJson('{"a" 1}'), { code: "INVALID_JSON", message: "not valid JSON at position 5" });
  for (const text of [
    '{"PASSWORD":"hunter2"',
    '{"PASSWORD": hunter2}',
    '{"x" hunter2',
    "hunter2",
    '"hunter2',
  ]) {
    try {
      parseJson(text);
      t.fail("parsed");
    } catch (error) {
      t.notMatch(String((error as Error).stack), /hunter2/);
      t.equal((error as Error).cause, undefined);
    }
  }
  t.end();
});

t.test("what JSON cannot express is refused", (t) => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  for (const value of [undefined, () => 1, cycle])
    t.equal(
      codeOf(() => stringifyJson(value)),
      "INVALID_JSON",
    );
  t.end();
});

t.test("bigints are written as the numbers they are", (t) => {
  const value = { limit: 9223372036854771712n, list: [1n, -5n], text: "9n", none: undefined, plain: 1.5 };
  t.equal(stringifyJson(value), '{"limit":9223372036854771712,"list":[1,-5],"text":"9n","plain":1.5}');
  t.end();
});
