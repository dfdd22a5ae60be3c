import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { AgentError } from "../../../src/common/errors.ts";
import { HIGHEST_ID, readGroups, readUsers } from "../../../src/gcs/uvm/accounts.ts";
import { splitCommandLine } from "../../../src/gcs/uvm/command-line.ts";
import { parseCgroupMounts } from "../../../src/linux/cgroups/layout.ts";
import { HEAD_SIZE, inspectExecutable } from "../../../src/linux/executable.ts";
import { parseMountinfo } from "../../../src/linux/mountinfo.ts";
import { parseProcessStatus } from "../../../src/linux/proc.ts";
import { explainFailure, parseLogErrors } from "../../../src/runtime/runc/log.ts";
import { parseState, parseStates } from "../../../src/runtime/runc/state.ts";
import { parseMountOptions } from "../../../src/storage/mount-options.ts";
import { bytesOf, edgeText, hex } from "../generators/bytes.ts";
import { editText, type TextEdit, textEdits } from "../generators/edits.ts";
import { hold, property } from "../target.ts";

/** What is read of a container's root, of its runtime, and of the kernel. */
const SAMPLES = {
  passwd:
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/sbin/nologin\nbroken\n:::\nbig:x:4294967295:1::/:\n",
  group: "root:x:0:\nusers:x:100:a,b,c\nbroken\nwheel:x:10:root,,x\n",
  log: '{"level":"error","msg":"runc create failed: exec: \\"x\\": executable file not found in $PATH","time":"2020-01-01T00:00:00Z"}\n{"level":"warning","msg":"w"}\nplain words\n',
  state:
    '{"ociVersion":"1.0.2","id":"c","pid":1,"status":"running","bundle":"/b","rootfs":"/r","created":"2020-01-01T00:00:00Z","owner":""}',
  states:
    '[{"ociVersion":"1.0.2","id":"c","pid":0,"status":"stopped","bundle":"/b","rootfs":"/r","created":"2020-01-01T00:00:00Z"}]',
  mountinfo:
    "23 28 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n31 23 0:27 /a\\040b /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
  status: "Name:\tsh\nState:\tS (sleeping)\nTgid:\t12\nPid:\t12\nPPid:\t1\nUid:\t0\t0\t0\t0\n",
  options: "ro,nodev,size=64k,uid=1,,=,a=b=c",
  command: `sh -c "echo 'a b' \\" c" 'd"e' f\\ g`,
  script: "#!/bin/sh -e\necho\n",
} as const;
type Kind = keyof typeof SAMPLES;

interface Input {
  readonly kind: Kind;
  readonly edits: readonly TextEdit[];
  readonly tail: string;
  readonly bytes: string;
}

let root: string | undefined;

async function readAccounts(kind: "passwd" | "group", bytes: Buffer): Promise<void> {
  if (root === undefined) {
    root = mkdtempSync(join(tmpdir(), "fuzz-root-"));
    mkdirSync(join(root, "etc"));
    process.once("exit", () => rmSync(root ?? "", { recursive: true, force: true }));
  }
  writeFileSync(join(root, "etc", kind), bytes);
  const isId = (id: number) => Number.isInteger(id) && id >= 0 && id <= HIGHEST_ID;
  if (kind === "passwd") {
    for (const { name, uid, gid } of await readUsers(root))
      hold(name !== "" && !name.includes("\0") && isId(uid) && isId(gid), `user ${name} ${uid} ${gid}`);
  } else {
    const { entries } = await readGroups(root);
    for (const { name, gid } of entries) hold(name !== "" && isId(gid), `group ${name} ${gid}`);
  }
}

async function read(kind: Kind, text: string, bytes: Buffer): Promise<void> {
  const all = Buffer.concat([Buffer.from(text), bytes]);
  switch (kind) {
    case "passwd":
    case "group":
      return await readAccounts(kind, all);
    case "log":
      parseLogErrors(text);
      hold(
        explainFailure(text, all.toString("latin1"), { command: "x", workingDirectory: "/" }) !== undefined,
        "",
      );
      return;
    case "state":
      parseState(text);
      return;
    case "states":
      parseStates(text);
      return;
    case "mountinfo":
      parseMountinfo(text);
      parseCgroupMounts(text);
      return;
    case "status":
      parseProcessStatus(text);
      return;
    case "options":
      parseMountOptions(text.split(","));
      return;
    case "command":
      splitCommandLine(text);
      return;
    case "script":
      inspectExecutable(all.subarray(0, HEAD_SIZE));
      inspectExecutable(Buffer.concat([Buffer.from("\u007fELF"), bytes]), "x64");
  }
}

export const machineTexts = property<Input>({
  inputs: fc.record({
    kind: fc.constantFrom(...(Object.keys(SAMPLES) as Kind[])),
    edits: textEdits,
    tail: edgeText,
    bytes: hex({ maxLength: 80 }),
  }),
  async check({ kind, edits, tail, bytes }) {
    try {
      await read(kind, editText(SAMPLES[kind], edits) + tail, bytesOf(bytes));
    } catch (error) {
      hold(error instanceof AgentError, () => (error instanceof Error ? (error.stack ?? "") : String(error)));
    }
  },
});
