import t from "tap";
import {
  describeType,
  kindOf,
  MESSAGE_NAMES,
  messageNameOf,
  NOTIFICATION_TYPE,
  requestTypeOf,
  responseTypeOf,
} from "../../src/protocol/messages.ts";
import { recordedFrames } from "./transcript.ts";

t.test("a type, its name and its response's type lead to each other", (t) => {
  for (const name of MESSAGE_NAMES) {
    const request = requestTypeOf(name);
    const response = responseTypeOf(name);
    t.equal(response - request, 0x10000000, name);
    t.equal(responseTypeOf(request), response);
    t.same([messageNameOf(request), kindOf(request)], [name, "request"]);
    t.same([messageNameOf(response), kindOf(response)], [name, "response"]);
  }
  t.end();
});

t.test("every response in the recording has the type of its request's response", (t) => {
  const requests = new Map(recordedFrames.filter((f) => f.kind === "request").map((f) => [f.id, f.type]));
  for (const { kind, id, type } of recordedFrames) {
    if (kind === "response") t.equal(type, responseTypeOf(requests.get(id) ?? 0));
    if (kind === "notification") t.equal(type, NOTIFICATION_TYPE);
  }
  t.end();
});

t.test("types that mean nothing have no name, and a response's type all the same", (t) => {
  for (const type of [0, 1, 0x10100e01, 0x10100102, 0x30100101, 0x40100101, 0xffffffff]) {
    t.equal(messageNameOf(type), undefined, type.toString(16));
  }
  t.equal(kindOf(0x40100101), undefined);
  t.equal(kindOf(0xf0100101), undefined);
  t.equal(responseTypeOf(0x10100e01), 0x20100e01);
  t.equal(responseTypeOf(0xffffffff), 0x2fffffff);
  t.end();
});

t.test("a type is described for people", (t) => {
  t.equal(describeType(0x10100101), "Create request");
  t.equal(describeType(0x20100c01), "DumpStacks response");
  t.equal(describeType(0x30100101), "container notification");
  t.equal(describeType(0xe01), "unknown type 0x00000e01");
  t.end();
});
