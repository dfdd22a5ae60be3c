import { closeSync, createReadStream, openSync, readFileSync } from "node:fs";
import t from "tap";
import { pipe, setNonBlocking } from "../../../native/hvsock/index.ts";
import { LogStream } from "../../../src/gcs/services/log-stream.ts";
import { createLogger } from "../../../src/gcs/services/logger.ts";

const dropped = (count: number) => `dropped ${count}\n`;

await t.test("JSON lines in the shape that the host reads", async (t) => {
  const path = `${t.testdir()}/log`;
  const fd = openSync(path, "w");
  t.teardown(() => closeSync(fd));
  const log = createLogger({ level: "debug", format: "json", fd });
  log.trace({}, "not at this level");
  log.debug({ cid: "c1" }, "a debug line");
  log.warn({}, "a warning");
  await log.drained(5000);
  const lines = readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  t.match(lines, [
    { level: "debug", cid: "c1", msg: "a debug line" },
    { level: "warning", msg: "a warning" },
  ]);
  for (const { time } of lines) t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
});

await t.test("a stream whose reader is gone takes nothing down, and its losses are told", async (t) => {
  const path = `${t.testdir()}/log`;
  const { readFd, writeFd } = pipe();
  closeSync(readFd);
  // Takes the reader's number, so that the writer's is the lowest free one below.
  const plug = openSync("/dev/null", "r");
  t.teardown(() => closeSync(plug));
  const stream = new LogStream(writeFd, dropped);
  stream.write("lost\n");
  stream.write("lost too\n");
  await stream.drained(5000);
  // The same descriptor leads somewhere again, as a reconnecting log relay would make it.
  closeSync(writeFd);
  const reopened = openSync(path, "w");
  t.teardown(() => closeSync(reopened));
  t.equal(reopened, writeFd, "the lowest free descriptor is given out anew");
  stream.write("found\n");
  await stream.drained(5000);
  t.equal(readFileSync(path, "utf8"), "dropped 2\nfound\n");
});

await t.test("a stream that is never read keeps a bounded number of bytes", async (t) => {
  const { readFd, writeFd } = pipe();
  setNonBlocking(writeFd, true);
  const stream = new LogStream(writeFd, dropped);
  const line = `${"x".repeat(1023)}\n`;
  const before = process.memoryUsage().heapUsed;
  for (let count = 0; count < 100_000; count++) stream.write(line);
  t.ok(process.memoryUsage().heapUsed - before < 32 * 1024 * 1024, "100 MB of lines were not kept");
  await stream.drained(100);
  closeSync(readFd);
  await stream.drained(5000);
  closeSync(writeFd);
});

await t.test("a slow reader gets every line, in order", async (t) => {
  const { readFd, writeFd } = pipe();
  setNonBlocking(writeFd, true);
  const stream = new LogStream(writeFd, dropped);
  const lines = Array.from({ length: 1000 }, (_, index) => `${index} ${"x".repeat(500)}\n`);
  for (const line of lines) stream.write(line);
  await stream.drained(50);
  const reader = createReadStream("", { fd: readFd, highWaterMark: 4096 });
  let text = "";
  const read = (async () => {
    for await (const chunk of reader) {
      text += chunk;
      await new Promise(setImmediate);
    }
  })();
  await stream.drained(30_000);
  closeSync(writeFd);
  await read;
  t.equal(text, lines.join(""));
});
