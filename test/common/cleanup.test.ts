import { test } from "tap";
import { CleanupStack } from "../../src/common/cleanup.ts";

test("cleanups run last in, first out, each of them", async (t) => {
  const done: string[] = [];
  const cleanups = new CleanupStack();
  cleanups.push("first", () => void done.push("first"));
  cleanups.push("failing", () => Promise.reject(new Error("busy")));
  cleanups.push("throwing", () => {
    throw new Error("gone");
  });
  cleanups.push("last", async () => void done.push("last"));
  t.match(await cleanups.run(), [
    { what: "throwing", cause: { message: "gone" } },
    { what: "failing", cause: { message: "busy" } },
  ]);
  t.same(done, ["last", "first"]);
  t.same(await cleanups.run(), [], "and once");

  cleanups.push("kept", () => void done.push("kept"));
  cleanups.release();
  t.same(await cleanups.run(), []);
  t.same(done, ["last", "first"]);
});
