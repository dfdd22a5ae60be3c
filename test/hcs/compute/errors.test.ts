import { inspect } from "node:util";
import { test } from "tap";
import { AgentError } from "../../../src/common/errors.ts";
import * as hcs from "../../../src/hcs/index.ts";
import { GuestError } from "../../../src/protocol/hresult.ts";

/** Names and numbers of hcsshim's internal/hcs/errors.go; without a number: made up by hcsshim itself. */
const NUMBERS: Record<string, number | undefined> = {
  ErrComputeSystemDoesNotExist: 0xc037010e,
  ErrElementNotFound: 0x490,
  ErrNotSupported: 0x32,
  ErrInvalidData: 0xd,
  ErrHandleClose: undefined,
  ErrAlreadyClosed: undefined,
  ErrInvalidNotificationType: undefined,
  ErrInvalidProcessState: undefined,
  ErrTimeout: undefined,
  ErrUnexpectedContainerExit: undefined,
  ErrUnexpectedProcessAbort: undefined,
  ErrUnexpectedValue: undefined,
  ErrOperationDenied: undefined,
  ErrVmcomputeAlreadyStopped: 0xc0370110,
  ErrVmcomputeSystemAlreadyStopped: 0x80370110,
  ErrVmcomputeOperationPending: 0xc0370103,
  ErrVmcomputeOperationInvalidState: 0xc0370105,
  ErrProcNotFound: 0x7f,
  ErrVmcomputeOperationAccessIsDenied: 0x5,
  ErrVmcomputeInvalidJSON: 0xc037010d,
  ErrVmcomputeUnknownMessage: 0xc037010b,
  ErrVmcomputeUnexpectedExit: 0xc0370106,
  ErrPlatformNotSupported: undefined,
  ErrProcessAlreadyStopped: 0x8037011f,
  ErrInvalidHandle: 0x6,
};

/** Which questions are answered with yes for which code; all others with no. */
const ANSWERS: Record<string, string[]> = {
  isNotExist: ["ErrComputeSystemDoesNotExist", "ErrElementNotFound"],
  isAlreadyClosed: ["ErrAlreadyClosed"],
  isPending: ["ErrVmcomputeOperationPending"],
  isTimeout: ["ErrTimeout"],
  isAlreadyStopped: [
    "ErrVmcomputeAlreadyStopped",
    "ErrVmcomputeSystemAlreadyStopped",
    "ErrProcessAlreadyStopped",
    "ErrElementNotFound",
  ],
  isNotSupported: [
    "ErrVmcomputeInvalidJSON",
    "ErrInvalidData",
    "ErrNotSupported",
    "ErrVmcomputeUnknownMessage",
  ],
  isOperationInvalidState: ["ErrVmcomputeOperationInvalidState"],
  isAccessIsDenied: ["ErrVmcomputeOperationAccessIsDenied"],
  isErrorInvalidHandle: ["ErrInvalidHandle"],
};

test("codes have hcsshim's names and numbers", async (t) => {
  for (const [name, number] of Object.entries(NUMBERS)) {
    const code = hcs.hcsErrorCodes[name];
    t.equal(code?.name, name);
    t.equal(code?.number, number, name);
    t.equal((hcs as unknown as Record<string, unknown>)[name], code, `${name} is exported`);
  }
});

test("each question has hcsshim's answer for each code, bare and wrapped", async (t) => {
  for (const [question, yes] of Object.entries(ANSWERS)) {
    const ask = (hcs as unknown as Record<string, (error: unknown) => boolean>)[question];
    for (const [name, code] of Object.entries(hcs.hcsErrorCodes)) {
      const expected = yes.includes(name);
      t.equal(ask?.(code), expected, `${question}(${name})`);
      t.equal(ask?.(new hcs.SystemError("id", "op", code)), expected, `${question}(SystemError ${name})`);
      t.equal(ask?.(new Error("more", { cause: new hcs.ProcessError("id", 1, "op", code) })), expected);
    }
    for (const other of [undefined, null, "text", new Error("other")]) t.equal(ask?.(other), false);
  }
});

test("errors tell the call, the system, the process, the reason and the events", async (t) => {
  const events = [{ message: "what happened", provider: "gcs", eventId: 7, source: "file.ts:1" }];
  const system = new hcs.SystemError("s1", "hcs::System::Start", hcs.ErrTimeout, events);
  t.match(system, { id: "s1", op: "hcs::System::Start", events, code: "TIMEOUT", cause: hcs.ErrTimeout });
  t.match(system.message, /^hcs::System::Start s1: .*\n\[Event Detail: what happened Provider: gcs/);
  const process = new hcs.ProcessError("s1", 12, "hcs::Process::Kill", hcs.ErrElementNotFound);
  t.match(process, { systemId: "s1", pid: 12, code: "PROCESS_NOT_FOUND" });
  t.match(process.message, /^hcs::Process::Kill s1:12: /);
  for (const error of [system, process]) {
    t.ok(error instanceof hcs.HcsError);
    t.ok(error instanceof AgentError);
  }
  t.equal(hcs.makeSystemError("s2", "other", system), system, "not wrapped twice");
});

test("time-outs: hcsshim's own is none of the net's, a deadline of the caller's is", async (t) => {
  const own = new hcs.HcsError("op", new Error("later", { cause: hcs.ErrTimeout }));
  t.equal(own.timeout(), false);
  t.equal(own.temporary(), false);
  t.equal(hcs.isTimeout(own), true);
  // What AbortSignal.timeout() aborts with.
  const reason = new DOMException("too late", "TimeoutError");
  const deadline = new hcs.HcsError("op", new AgentError("ABORTED", "aborted", { cause: reason }));
  t.equal(deadline.timeout(), true);
  t.equal(deadline.temporary(), true);
  t.equal(hcs.isTimeout(deadline), true);
  const other = new hcs.HcsError("op", new AgentError("ABORTED", "aborted", { cause: new Error("enough") }));
  t.equal(other.timeout(), false);
  t.equal(hcs.isTimeout(other), false);
});

test("a guest's refusal keeps its records, and has the code of its HRESULT", async (t) => {
  const record = {
    Result: -1,
    Message: "deep down",
    StackTrace: "",
    ModuleName: "gcs",
    FileName: "a.go",
    Line: 3,
  };
  const guest = new GuestError("SYSTEM_NOT_FOUND", "no such container", 0xc037010e, [record]);
  const error = hcs.makeSystemError("c", "hcs::System::Start", guest);
  t.ok(hcs.isNotExist(error));
  t.equal(hcs.codeOf(error), hcs.ErrComputeSystemDoesNotExist);
  t.match(error.events, [{ message: "deep down", provider: "gcs", source: "a.go:3" }]);
  t.equal(error.cause, guest);
  const traced = new GuestError("RUNTIME_FAILED", "the guest refused it: no such thing", 0x80004005, [
    { ...record, Message: "no such thing", StackTrace: "at secret (/gcs.js:1)" },
  ]);
  const told = hcs.makeSystemError("c", "hcs::System::Start", traced);
  t.equal(
    told.message,
    "hcs::System::Start c: the guest refused it: no such thing",
    "once, and no guest's stack",
  );
  t.match(told.events, [{ stackTrace: "at secret (/gcs.js:1)" }], "for who asks");
  const unnamed = hcs.makeSystemError("c", "op", new GuestError("RUNTIME_FAILED", "?", 0x8037ffff, []));
  t.equal(hcs.codeOf(unnamed)?.number, 0x8037ffff);
  t.ok(hcs.isAlreadyClosed(new hcs.SystemError("c", "op", hcs.ErrAlreadyClosed)));
  t.notOk(hcs.isOperationInvalidState(new hcs.SystemError("c", "op", hcs.ErrAlreadyClosed)));
});

test("an error prints each text once, and nothing of the guest's stack", async (t) => {
  const record = { Result: -1, Message: "no such thing", StackTrace: "at secret (/gcs.js:1)" } as never;
  const guest = new GuestError("RUNTIME_FAILED", "the guest refused it: no such thing", 0x80004005, [record]);
  const inner = new AgentError("TRANSPORT_CLOSED", "the bridge is gone", { cause: new Error("EPIPE on 7") });
  const errors = [
    hcs.makeSystemError("c", "op", guest),
    hcs.makeProcessError("c", 7, "op", new AgentError("TIMEOUT", "no answer in time", { cause: guest })),
    new hcs.v1.ContainerError({ id: "c" }, "op", guest),
    hcs.makeSystemError("c", "op", inner),
  ];
  for (const error of errors) {
    for (const [how, printed] of [
      ["console.log", inspect(error)],
      ["within an object", inspect({ deep: { error } })],
      // What Node prints of an error that nobody caught.
      ...(error !== errors[3] ? ([["uncaught", inspect(error, { customInspect: false })]] as const) : []),
    ] as const) {
      t.notMatch(printed, "secret", `${how}: no line of the guest's`);
      for (const words of ["no such thing", "the bridge is gone", "EPIPE on 7"]) {
        const times = printed.split(words).length - 1;
        t.equal(times, error.message.includes(words) ? 1 : 0, `${how}: ${words}\n${printed}`);
      }
      t.match(printed, /errors\.test\.ts/, `${how}: where it was made`);
    }
  }
  t.match(errors[3]?.message, /the bridge is gone: EPIPE on 7/, "the message tells the causes, too");
});

test("notifications have HCS's names and numbers", async (t) => {
  const table: [string, number][] = [
    ["Invalid", 0],
    ["SystemExited", 1],
    ["SystemCreateCompleted", 2],
    ["SystemStartCompleted", 3],
    ["SystemPauseCompleted", 4],
    ["SystemResumeCompleted", 5],
    ["SystemCrashReport", 6],
    ["SystemSiloJobCreated", 7],
    ["SystemSaveCompleted", 8],
    ["SystemRdpEnhancedModeStateChanged", 9],
    ["SystemShutdownFailed", 10],
    ["SystemGetPropertiesCompleted", 11],
    ["SystemModifyCompleted", 12],
    ["SystemCrashInitiated", 13],
    ["SystemGuestConnectionClosed", 14],
    ["ProcessExited", 0x10000],
    ["ServiceDisconnect", 0x1000000],
  ];
  t.strictSame(Object.entries(hcs.HcsNotification), table);
  for (const [name, number] of table) t.equal(hcs.notificationName(number), name);
  t.equal(hcs.notificationName(99), "Unknown: 99");
});
