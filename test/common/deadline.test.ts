import { test } from "tap";
import { settlesWithin, withDeadline, within, withTimeLimit } from "../../src/common/deadline.ts";

test("a limit beyond what a timer can be told is a long one, not none", async (t) => {
  for (const timeoutMs of [2 ** 31, 99_999_999_999, Number.POSITIVE_INFINITY]) {
    const { promise, resolve } = Promise.withResolvers<string>();
    // Later than a timer fires that was told too much, 1 ms.
    setTimeout(resolve, 50, "done");
    t.equal(await withDeadline(promise, "a wait", { timeoutMs }), "done");
    const limited = withTimeLimit("a call", timeoutMs, undefined, async ({ signal }) => {
      await new Promise((settle) => setTimeout(settle, 50));
      return signal.aborted;
    });
    t.equal(await limited, false);
  }
});

test("a wait gives what came in time, and what it was rejected with", async (t) => {
  const never = new Promise<string>(() => undefined);
  t.equal(await within(Promise.resolve("came"), 60_000), "came");
  t.equal(await within(never, 1), undefined);
  t.equal(await settlesWithin(Promise.resolve(), 60_000), true);
  t.equal(await settlesWithin(never, 1), false);
  await t.rejects(within(Promise.reject(new Error("no")), 60_000), { message: "no" });
  await t.rejects(withDeadline(never, "a wait", { timeoutMs: 1 }), {
    code: "TIMEOUT",
    message: "a wait took longer than 1 ms",
  });
  const late = () => new Error("nobody came");
  await t.rejects(withDeadline(never, "a wait", { timeoutMs: 1, late }), { message: "nobody came" });
  await t.rejects(withDeadline(never, "a wait", { signal: AbortSignal.abort() }), {
    code: "ABORTED",
    message: "a wait was aborted",
  });
});
