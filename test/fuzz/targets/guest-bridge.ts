import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { AgentError, type ErrorCode } from "../../../src/common/errors.ts";
import { HostBridge } from "../../../src/hcs/guest/host-bridge.ts";
import { decodeRequest } from "../../../src/protocol/codec.ts";
import { encodeFrame, FrameDecoder, MAXIMUM_SIZE_FROM_HOST } from "../../../src/protocol/frame.ts";
import {
  MESSAGE_NAMES,
  type MessageName,
  messageNameOf,
  NOTIFICATION_TYPE,
  responseTypeOf,
} from "../../../src/protocol/messages.ts";
import { toWire } from "../../protocol/mutations.ts";
import { bytesOf, hex } from "../generators/bytes.ts";
import {
  editFields,
  editText,
  type FieldEdit,
  fieldEdits,
  type TextEdit,
  textEdits,
} from "../generators/edits.ts";
import { hold, property } from "../target.ts";
import { sample } from "./messages.ts";

type Step =
  | { readonly do: "request"; readonly name: MessageName }
  | {
      readonly do: "answer";
      /** Which of those that wait; and how far beside its number the answer is. */
      readonly request: number;
      readonly beside: number;
      readonly isOther: boolean;
      readonly fields: readonly FieldEdit[];
      readonly text: readonly TextEdit[];
    }
  | { readonly do: "notify"; readonly fields: readonly FieldEdit[]; readonly text: readonly TextEdit[] }
  | { readonly do: "bytes"; readonly bytes: string }
  | { readonly do: "reconnect" }
  | { readonly do: "turn" };

interface Input {
  readonly steps: readonly Step[];
}

const mostly = <T>(usual: T, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary });
const edits = { fields: mostly([], fieldEdits), text: mostly([], textEdits) };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("request" as const), name: fc.constantFrom(...MESSAGE_NAMES) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("answer" as const),
      request: fc.nat(10),
      beside: mostly(0, fc.integer({ min: -3, max: 3 })),
      isOther: mostly(false, fc.boolean()),
      ...edits,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("notify" as const), ...edits }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("bytes" as const), bytes: hex({ maxLength: 40 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "reconnect" as const }) },
  { weight: 3, arbitrary: fc.constant({ do: "turn" as const }) },
);

/** A guest's end of one connection: what it was asked. */
class Guest {
  readonly channel: Duplex;
  readonly asked: { readonly id: bigint; readonly name: MessageName }[] = [];

  constructor(channel: Duplex) {
    this.channel = channel;
    const decoder = new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_HOST });
    channel.on("error", () => {});
    channel.on("data", (chunk: Buffer) =>
      decoder.push(chunk, ({ type, id, body }) => {
        const name = messageNameOf(type);
        hold(name !== undefined, `the host asks with the type ${type}`);
        decodeRequest(name, body);
        this.asked.push({ id, name });
      }),
    );
  }

  say(bytes: Buffer): void {
    if (!this.channel.destroyed && !this.channel.writableEnded) this.channel.write(bytes);
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

export const guestBridge = property<Input>({
  inputs: fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 30, size: "max" }) }),
  async check({ steps }) {
    let lost: ErrorCode | undefined;
    const bridge = new HostBridge({
      onNotification: () => {},
      onLinkLost: (reason) => {
        lost = reason.code;
      },
    });
    const channels: Duplex[] = [];
    const connect = (): Guest => {
      const [host, guest] = duplexPair() as [Duplex, Duplex];
      channels.push(host, guest);
      bridge.attach(host);
      bridge.open();
      lost = undefined;
      return new Guest(guest);
    };
    let guest = connect();
    const results: Promise<unknown>[] = [];
    for (const step of steps) {
      if (step.do === "request") {
        const body = decodeRequest(step.name, toWire(sample("request", step.name)));
        results.push(
          bridge.request(step.name, body).then(
            () => undefined,
            (error: unknown) => error,
          ),
        );
      } else if (step.do === "answer") {
        const asked = guest.asked[step.request % Math.max(1, guest.asked.length)];
        if (asked === undefined) continue;
        const name = step.isOther ? (MESSAGE_NAMES[step.request] ?? asked.name) : asked.name;
        const body = editText(toWire(editFields(sample("response", name), step.fields)), step.text);
        const id = asked.id + BigInt(step.beside);
        guest.say(encodeFrame(responseTypeOf(name), id < 0n ? 0n : id, body));
      } else if (step.do === "notify") {
        const value = editFields(sample("notification", "Start"), step.fields);
        guest.say(encodeFrame(NOTIFICATION_TYPE, 0n, editText(toWire(value), step.text)));
      } else if (step.do === "bytes") guest.say(bytesOf(step.bytes));
      else if (step.do === "reconnect") guest = connect();
      else await turn();
      // As who owns a bridge does: another connection, when this one is lost.
      if (lost !== undefined) guest = connect();
    }
    await turn();
    bridge.fail(new AgentError("TRANSPORT_CLOSED", "the end"));
    for (const error of await Promise.all(results))
      hold(error === undefined || error instanceof AgentError, () => String(error));
    hold((await bridge.ended).message === "the end", "it ended otherwise");
    for (const channel of channels) channel.destroy();
  },
});
