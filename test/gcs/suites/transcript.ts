/**
 * Replays a recorded conversation of a real host with the Go agent, request by request, against this agent: each
 * must be answered with the same type, id, result code and shape.
 */
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { TAP as Tap } from "tap";
import { NOTIFICATION_TYPE } from "../../../src/protocol/messages.ts";
import { withDeadline } from "../../helpers/raw-host.ts";
import type { GuestEnvironment } from "./environment.ts";

type Asserts = Pick<Tap, "ok" | "equal" | "not" | "same" | "fail">;
type Json = Record<string, unknown>;
interface Recorded {
  step?: string;
  stdio?: Record<string, string>;
  dir?: "host->guest" | "guest->host";
  type?: string;
  id?: number;
  body?: Json;
}

const lines = readFileSync(new URL("../../data/transcript.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Recorded);

/** What the recording host did by hand in a step: it shows in no frame. */
const typed: Record<string, { stdin: string; after: number }> = {
  "exec: stdin to stdout, close of stdin ends it": { stdin: "some bytes\n", after: 0x10100601 },
  "exec: with a terminal, resized while it runs": { stdin: "hi\n", after: 0x20100801 },
};

/** The recording host gave the shell time to set its trap; as pid 1 it ignores SIGTERM until then. */
async function handlesSigterm(environment: GuestEnvironment, pid: number): Promise<void> {
  for (let waited = 0; waited < 10_000; waited += 5) {
    const status = await environment.readStatus(pid);
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
    // Before it becomes the shell it is the runtime's init, which catches signals of its own.
    if (/^Name:\s*sh$/m.test(status) && (BigInt(`0x${caught}`) >> 14n) & 1n) return;
    await delay(5);
  }
  throw new Error(`process ${pid} did not set its trap`);
}

/**
 * Fields that depend on the run, or that the Go agent leaves out because it has nothing to say: they may be absent
 * on one side. Everything else must be there on both, with the same type.
 */
const optionalFields = new Set([
  ...["StackTrace", "FunctionName", "LCOWMetrics"],
  // Ours: a flag among the capabilities, where the real host passes over what it does not know.
  "ContainerPauseSupported",
]);

function sameShape(test: Asserts, recorded: unknown, ours: unknown, path: string): void {
  if (typeof recorded === "object" && recorded !== null && !Array.isArray(recorded)) {
    const [theirs, mine] = [recorded as Json, ours as Json];
    const keys = new Set([...Object.keys(theirs), ...Object.keys(mine ?? {})]);
    for (const key of keys) {
      if (optionalFields.has(key)) continue;
      if (!(key in theirs) || !(key in (mine ?? {}))) {
        test.fail(`${path}.${key} is only in ${key in theirs ? "the recording" : "our reply"}`);
        continue;
      }
      sameShape(test, theirs[key], mine[key], `${path}.${key}`);
    }
  } else if (Array.isArray(recorded)) {
    test.ok(Array.isArray(ours), `${path} is an array`);
    if (recorded.length > 0) sameShape(test, recorded[0], (ours as unknown[])[0], `${path}[0]`);
  } else {
    test.equal(typeof ours, typeof recorded, `${path} is a ${typeof recorded}`);
  }
}

/** The groups of statistics and the entries that any container has, whatever it did. */
const statisticsAlways = [
  "pids.current",
  "cpu.usage.total",
  "memory.usage.usage",
  "memory.rss",

  "memory_oom_control",
];

/** Needs a fresh connection, and hangs it up. */
export async function replayTranscript(t: Asserts, environment: GuestEnvironment): Promise<void> {
  const { host, rootfs } = environment;
  const pids = new Map<number, number>();
  const output = new Map<string, string>();
  const ended: Promise<unknown>[] = [];
  let stdin: Duplex | undefined;
  let step = "";
  let lastPid = 0;
  const steps: string[] = [];
  const localize = (body: Json): Json => {
    const text = JSON.stringify(body)
      .replaceAll("/ROOTFS", rootfs)
      .replaceAll("/run/gcs/c/", `${environment.bundleDirectory}/`);
    const copy = JSON.parse(text) as Json;
    if (typeof copy.ProcessId === "number") copy.ProcessId = pids.get(copy.ProcessId) ?? copy.ProcessId;
    return copy;
  };

  const typeAfter = (type: number) => {
    const here = typed[step];
    if (here?.after === type) stdin?.end(here.stdin);
  };

  const listenForStdio = async (body: Json) => {
    output.clear();
    ended.length = 0;
    const ports = ((body.Settings as Json)?.VsockStdioRelaySettings ?? {}) as Record<string, number>;
    for (const [name, port] of Object.entries(ports)) {
      await host.listen(port, (socket) => {
        if (name === "StdIn") {
          stdin = socket;
          return;
        }
        const stream = name.toLowerCase();
        output.set(stream, "");
        ended.push(
          new Promise((resolve) => {
            socket.on("data", (chunk: Buffer) => output.set(stream, output.get(stream) + chunk.toString()));
            socket.on("end", () => {
              socket.end();
              resolve(undefined);
            });
          }),
        );
      });
    }
  };

  for (const line of lines) {
    if (line.step !== undefined) {
      step = line.step;
      steps.push(step);
      if (step === "create: the same id again") {
        // The recording shows nothing of it: the host refuses by itself. The agent has to, too.
        const create = lines.find(({ id, dir }) => id === 6 && dir === "host->guest")?.body ?? {};
        t.equal((await host.request("Create", localize(create))).Result, 0xc037010f | 0, "created twice");
      }
    } else if (line.stdio !== undefined) {
      await withDeadline(Promise.all(ended), `the end of stdio in: ${step}`);
      t.same(Object.fromEntries(output), line.stdio, `stdio of: ${step}`);
    } else if (line.dir === "host->guest" && line.body && line.id !== undefined) {
      const type = Number(line.type);
      const body = localize(line.body);
      if (type === 0x10100501) await listenForStdio(body);
      if (type === 0x10100301) await handlesSigterm(environment, lastPid);
      host.send(type, BigInt(line.id), body);
      typeAfter(type);
    } else if (line.dir === "guest->host" && line.body && line.id !== undefined) {
      const type = Number(line.type);
      const id = BigInt(line.id);
      const what = `${line.type} id ${id} in: ${step}`;
      const frame = await host.take((frame) => frame.type === type && frame.id === id, what);
      typeAfter(type);
      if (type === 0x20100501 && typeof frame.body.ProcessId === "number") {
        pids.set(line.body.ProcessId as number, frame.body.ProcessId);
        lastPid = frame.body.ProcessId;
      }
      const nested = (body: Json) =>
        typeof body.Properties === "string" ? { ...body, Properties: JSON.parse(body.Properties) } : body;
      sameShape(t, nested(line.body), nested(frame.body), what);
      t.equal(frame.body.Result, line.body.Result, `Result of ${what}: ${frame.body.ErrorMessage ?? "fine"}`);
      for (const field of ["ExitCode", "ActivityId", "Version", "SelectedProtocolVersion", "Operation"]) {
        if (field in line.body) t.equal(frame.body[field], line.body[field], `${field} of ${what}`);
      }
      if (type === NOTIFICATION_TYPE) {
        // The Go agent notes the kind of end after the kill, so a fast exit is told as unexpected. Ours is told right.
        const expected = step.includes("forced shutdown") ? "ForcedExit" : line.body.Type;
        t.equal(frame.body.Type, expected, `Type of ${what}`);
      }
      const recordedStatistics = (nested(line.body).Properties as Json | undefined)?.LCOWMetrics;
      if (recordedStatistics !== undefined) {
        const ours = (nested(frame.body).Properties as Json).LCOWMetrics as Json;
        // Which machine has huge pages is not for the recording to say.
        const groups = [...Object.keys(recordedStatistics as Json), "hugetlb"];
        t.same(
          Object.keys(ours).filter((group) => !groups.includes(group)),
          [],
          "no group of statistics that the recording lacks",
        );
        for (const path of statisticsAlways) {
          const value = path.split(".").reduce<unknown>((at, key) => (at as Json | undefined)?.[key], ours);
          t.not(value, undefined, `statistics have ${path}`);
        }
      }
    }
  }
  t.same(
    steps,
    lines.flatMap(({ step }) => (step === undefined ? [] : [step])),
    "every step was played",
  );
  // From 1000 on count the requests of the test itself.
  t.equal(
    host.received.filter(({ id }) => id < 1000n).length,
    lines.filter(({ dir }) => dir === "guest->host").length,
    "nothing was sent that nobody asked for",
  );
  await host.hangUp();
}
