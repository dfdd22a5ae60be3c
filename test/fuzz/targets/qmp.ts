import type { Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { AgentError } from "../../../src/common/errors.ts";
import { QmpClient, type QmpEvent } from "../../../src/hcs/uvm/qemu/qmp.ts";
import { cut, cuts, edgeText } from "../generators/bytes.ts";
import {
  editFields,
  editText,
  type FieldEdit,
  fieldEdits,
  type TextEdit,
  textEdits,
} from "../generators/edits.ts";
import { hold, property } from "../target.ts";

type Line = "greeting" | "answer" | "error" | "event" | "other";

interface Said {
  readonly line: Line;
  readonly id: number;
  readonly fields: readonly FieldEdit[];
  readonly text: readonly TextEdit[];
  readonly other: string;
}

interface Input {
  readonly lines: readonly Said[];
  readonly commands: number;
  readonly cuts: readonly number[];
}

const SAMPLES: Record<Exclude<Line, "other">, object> = {
  greeting: {
    QMP: { version: { qemu: { micro: 0, minor: 2, major: 7 }, package: "" }, capabilities: ["oob"] },
  },
  answer: { return: { running: true, status: "running" }, id: 0 },
  error: { error: { class: "GenericError", desc: "no such device" }, id: 0 },
  event: {
    timestamp: { seconds: 1, microseconds: 2 },
    event: "VSERPORT_CHANGE",
    data: { open: true, id: "port" },
  },
};

function textOf({ line, id, fields, text, other }: Said): string {
  if (line === "other") return other;
  const sample = { ...SAMPLES[line], ...(line === "answer" || line === "error" ? { id } : {}) };
  return editText(JSON.stringify(editFields(sample, fields)), text);
}

const rarely = <T>(usual: T, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary });

const said: fc.Arbitrary<Said> = fc.record({
  line: fc.constantFrom<Line>("answer", "answer", "error", "event", "greeting", "other"),
  id: fc.nat(8),
  fields: rarely([], fieldEdits),
  text: rarely([], textEdits),
  other: edgeText,
});

export const qmp = property<Input>({
  inputs: fc.record({ lines: fc.array(said, { maxLength: 12 }), commands: fc.nat(5), cuts }),
  async check({ lines, commands, cuts }) {
    const [ours, qemus] = duplexPair() as [Duplex, Duplex];
    qemus.on("error", () => {}).resume();
    const events: QmpEvent[] = [];
    const settled = (promise: Promise<unknown>) =>
      promise.then(
        () => undefined,
        (error: unknown) => error,
      );
    // No descriptors are passed here, so that any stream will do for the socket.
    const opened = QmpClient.open(ours as Socket, (event) => void events.push(event));
    const results = [settled(opened)];
    void opened
      .then((client) => {
        for (let at = 0; at < commands; at++) results.push(settled(client.execute(`command-${at}`, { at })));
      })
      .catch(() => {});
    const stream = Buffer.from(
      [JSON.stringify(SAMPLES.greeting), ...lines.map(textOf)].map((line) => `${line}\r\n`).join(""),
    );
    for (const chunk of cut(stream, cuts)) {
      if (!qemus.destroyed) qemus.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    qemus.destroy();
    ours.destroy();
    for (let at = 0; at < results.length; at++) {
      const error = await results[at];
      hold(error === undefined || error instanceof AgentError, () => String(error));
    }
    for (const { event, data } of events)
      hold(
        typeof event === "string" && typeof data === "object" && !Array.isArray(data),
        "an event without data",
      );
  },
});
