import { test } from "tap";
import { withDeadline, withTimeLimit } from "../../src/common/deadline.ts";

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
