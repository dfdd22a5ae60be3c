/** `-use-inouterr`: the bridge over standard input and output, the log on standard error. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import t from "tap";
import { encodeFrame, FrameDecoder } from "../../src/protocol/frame.ts";
import { requestTypeOf, responseTypeOf } from "../../src/protocol/messages.ts";

await t.test("negotiates over standard input and output, and ends with its host", async (t) => {
  const gcs = new URL("../../bin/gcs", import.meta.url).pathname;
  const directory = t.testdir();
  const child = spawn(gcs, [
    "-use-inouterr",
    "-transport",
    "null",
    "-private-directory",
    `${directory}/private`,
  ]);
  t.teardown(() => void child.kill("SIGKILL"));
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const decoder = new FrameDecoder({ maximumSize: 64 * 1024 });
  const reply = Promise.withResolvers<{ type: number; id: bigint; body: Record<string, unknown> }>();
  child.stdout.on("data", (chunk: Buffer) =>
    decoder.push(chunk, ({ type, id, body }) =>
      reply.resolve({ type, id, body: JSON.parse(body.toString()) }),
    ),
  );
  const request = JSON.stringify({ ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 });
  child.stdin.write(encodeFrame(requestTypeOf("NegotiateProtocol"), 7n, request));
  t.match(await reply.promise, {
    type: responseTypeOf("NegotiateProtocol"),
    id: 7n,
    body: { Result: 0, Version: 4 },
  });
  const exited = once(child, "exit");
  child.stdin.end();
  t.same(await exited, [0, null]);
  t.match(log, /level=info msg="GCS started"/);
});
