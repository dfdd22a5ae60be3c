/** All fuzzers, in the order in which they run. */
import type { NativeTarget, PropertyTarget, Target } from "./target.ts";

function property(target: Omit<PropertyTarget, "kind">): PropertyTarget {
  return { kind: "property", ...target };
}

function native(target: Omit<NativeTarget, "kind">): NativeTarget {
  return { kind: "native", ...target };
}

export const TARGETS: readonly Target[] = [
  property({
    name: "frames",
    what: "the bridge's frame decoder: whatever is sent and however it is cut, the frames that a plain reading finds, or INVALID_FRAME",
    runs: 400,
    load: async () => (await import("./targets/frames.ts")).frames,
  }),
  property({
    name: "messages",
    what: "every message's validator: requests, responses and notifications, near what was recorded; decoded, or refused with a code; what is decoded says the same once encoded and decoded again",
    runs: 400,
    load: async () => (await import("./targets/messages.ts")).messages,
  }),
  property({
    name: "json",
    what: "the parser and printer of JSON: as the engine's own, but for what docs/protocol.md says (large integers, depth, __proto__)",
    runs: 500,
    load: async () => (await import("./targets/json.ts")).json,
  }),
  property({
    name: "handlers",
    what: "the agent's bridge and every handler, with a runtime that does what it is told: each request has one answer with a known HRESULT, each container one exit notification at most; nothing (descriptor, mount, file) is left",
    runs: 60,
    isIsolated: true,
    load: async () => (await import("./targets/handlers.ts")).handlers,
  }),
  property({
    name: "forwarder-host",
    what: "the host's end of the forwarder's channel: while the guest keeps to the protocol the channel lives, windows are kept and bytes arrive in order; whatever it says, all streams and waits settle",
    runs: 150,
    load: async () => (await import("./targets/forwarder-host.ts")).forwarderHost,
  }),
  property({
    name: "guest-bridge",
    what: "the host's end of the bridge with a guest that answers anything, anew after each loss: every request settles, with a coded error or an answer",
    runs: 150,
    load: async () => (await import("./targets/guest-bridge.ts")).guestBridge,
  }),
  property({
    name: "qmp",
    what: "the client of QEMU's control socket with a QEMU that says anything: every command settles",
    runs: 200,
    load: async () => (await import("./targets/qmp.ts")).qmp,
  }),
  property({
    name: "documents",
    what: "what programs give the host's side, and the agent's flags: documents of every kind, modifications, process parameters; taken, or refused with a code",
    runs: 500,
    load: async () => (await import("./targets/documents.ts")).documents,
  }),
  property({
    name: "machine-texts",
    what: "what is read of a container's root, of its runtime and of the kernel: accounts, states and logs, mounts, programs' heads; ids are in range, and nothing but a coded error is thrown",
    runs: 500,
    load: async () => (await import("./targets/machine-texts.ts")).machineTexts,
  }),
  native({
    name: "forwarder",
    what: "native/forwarder between a host and programs of the guest: while the host keeps to the protocol it does not fail; what it says keeps to it whatever the host sends; bytes arrive in order",
    sanitizers: "address, undefined",
    runs: 600,
    maximumLength: 600,
  }),
  native({
    name: "init-command-line",
    what: "/init's words of the kernel's command line, and its own arguments, against a plain reading",
    sanitizers: "address, undefined",
    runs: 3000,
    maximumLength: 2048,
  }),
  native({
    name: "init-lists",
    what: "/init's lists: modules, devices' aliases, cgroup controllers",
    sanitizers: "address, undefined",
    runs: 5000,
    maximumLength: 2048,
  }),
  native({
    name: "init-agent-command",
    what: "/bin/gcs, which reads the agent's environment and command line from a file: they are the file's lines",
    sanitizers: "address, undefined",
    runs: 5000,
    maximumLength: 4096,
  }),
  native({
    name: "vsockexec-arguments",
    what: "vsockexec's arguments: ports are decimal numbers of 32 bits, and the rest is the program",
    sanitizers: "address, undefined",
    runs: 20_000,
    maximumLength: 256,
  }),
  native({
    name: "line-buffer",
    what: "vsockexec's log lines for a slow, absent or changing host: each connection is a sequence of lines, in order, none twice",
    sanitizers: "address, undefined",
    runs: 300,
    maximumLength: 400,
  }),
  native({
    name: "relay",
    what: "the addon's relays and what owner and peers do meanwhile: bytes arrive in order, each end is told once, every descriptor is given back",
    sanitizers: "address, undefined",
    runs: 300,
    maximumLength: 300,
  }),
  native({
    name: "relay-threads",
    what: "the same under the thread sanitizer",
    sanitizers: "thread",
    corpus: "relay",
    runs: 100,
    maximumLength: 300,
  }),
  property({
    name: "planted",
    what: "a fault in TypeScript",
    isPlanted: true,
    runs: 10_000,
    load: async () => (await import("./targets/planted.ts")).planted,
  }),
  property({
    name: "planted-death",
    what: "a process that dies",
    isPlanted: true,
    runs: 10_000,
    load: async () => (await import("./targets/planted.ts")).plantedDeath,
  }),
  property({
    name: "planted-rejection",
    what: "a promise that nobody looks at",
    isPlanted: true,
    runs: 10_000,
    load: async () => (await import("./targets/planted.ts")).plantedRejection,
  }),
  native({
    name: "planted-overflow",
    what: "a fault in C",
    isPlanted: true,
    sanitizers: "address, undefined",
    runs: 100_000,
    maximumLength: 16,
  }),
];

/** @throws Error that names those there are */
export function targetNamed(name: string): Target {
  const target = TARGETS.find((one) => one.name === name);
  if (target !== undefined) return target;
  const known = TARGETS.filter(({ isPlanted }) => isPlanted !== true).map((one) => one.name);
  throw new Error(`no fuzzer is named ${JSON.stringify(name)}; there are ${known.join(", ")}`);
}
