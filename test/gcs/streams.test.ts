/** Much data at once through one agent: every byte arrives, and no stream holds up another. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Readable } from "node:stream";
import t from "tap";
import { GuestConnection } from "../../src/hcs/guest/guest-connection.ts";
import type { GuestContainer } from "../../src/hcs/guest/guest-container.ts";
import { UnixHostTransport } from "../../src/hcs/transport/unix-host-transport.ts";
import { privateMemory, startAgent } from "../helpers/agent.ts";
import { ociSpec } from "../helpers/bundle.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const OTHERS = 20;

const shell = (script: string) => ({ args: ["/bin/sh", "-c", script], cwd: "/", env: ["PATH=/bin"] });

async function digest(stream: Readable | undefined): Promise<{ bytes: number; sha256: string }> {
  if (stream === undefined) throw new Error("the stream was asked for and is not there");
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

await t.test(
  "1 GiB each way, beside twenty others and one host that hardly reads",
  { timeout: 200_000 },
  async (t) => {
    const agent = startAgent(["--loglevel", "info"]);
    const transport = new UnixHostTransport(agent.prefix);
    const guest = await GuestConnection.listen(transport);
    t.teardown(async () => {
      await guest.close();
      await transport.close();
      await agent.stop();
    });
    await guest.accept();
    const spec = ociSpec({ args: ["/bin/sleep", "1000"] }) as Parameters<
      typeof guest.createContainer
    >[1]["spec"];
    const container: GuestContainer = await guest.createContainer("streams", {
      bundlePath: `${agent.directory}/c/streams`,
      spec,
    });
    await container.start();
    await container.createProcess({});
    const idle = agent.fdCount();

    // Nobody reads this one but for a byte now and then: its writer waits, and costs nobody anything.
    const stuck = await container.createProcess({
      process: shell("head -c 67108864 /dev/zero"),
      stdout: true,
    });
    stuck.stdout?.pause();
    let trickled = 0;
    const trickle = setInterval(() => {
      trickled += (stuck.stdout?.read(1) as Buffer | null)?.length ?? 0;
    }, 1000);
    t.teardown(() => clearInterval(trickle));
    const memoryBefore = privateMemory(agent.pid);

    const echo = await container.createProcess({ process: shell("exec cat"), stdin: true, stdout: true });
    const others = Array.from({ length: OTHERS }, async (_, index) => {
      const script = `head -c 16777216 /dev/zero | tr '\\0' '${String.fromCharCode(97 + index)}'`;
      const process = await container.createProcess({ process: shell(script), stdout: true });
      const [got, code] = await Promise.all([digest(process.stdout), process.wait()]);
      const expected = createHash("sha256")
        .update(Buffer.alloc(16 * MIB, 97 + index))
        .digest("hex");
      t.same([got.sha256, code], [expected, 0], `stream ${index}`);
    });

    const sent = createHash("sha256");
    const send = async () => {
      const { stdin } = echo;
      if (stdin === undefined) throw new Error("no stdin");
      const block = Buffer.alloc(4 * MIB);
      for (let at = 0; at < GIB; at += block.length) {
        crypto.getRandomValues(block.subarray(0, 65536));
        block.writeBigUInt64LE(BigInt(at), 65536);
        sent.update(block);
        if (!stdin.write(Buffer.from(block))) await once(stdin, "drain");
      }
      stdin.end();
    };
    const [back] = await Promise.all([digest(echo.stdout), send()]);
    t.equal(back.bytes, GIB);
    t.equal(back.sha256, sent.digest("hex"), "what came back is what was sent");
    t.equal(await echo.wait(), 0);
    await Promise.all(others);

    t.ok(privateMemory(agent.pid) - memoryBefore < 16 * MIB, "the agent's memory stayed flat");
    t.ok(trickled < MIB, "the reader of single bytes is still at its beginning");
    const { pids } = await container.processList();
    t.ok(pids.includes(stuck.pid), "and its writer waits for it");
    clearInterval(trickle);
    const rest = digest(stuck.stdout);
    t.equal((await rest).bytes + trickled, 64 * MIB, "which loses nothing when it reads on");
    t.equal(await stuck.wait(), 0);
    for (let waited = 0; agent.fdCount() > idle && waited < 10_000; waited += 20) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    t.equal(agent.fdCount(), idle, "no descriptor is left");
    await container.terminate();
    await container.exited;
    await container.deleteState();
  },
);
