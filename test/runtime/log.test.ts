import { test } from "tap";
import { bundleOf, readBundle } from "../../src/runtime/runc/bundle-facts.ts";
import { findExecFifo } from "../../src/runtime/runc/exec-fifo.ts";
import { explainFailure, parseLogErrors, plainWords } from "../../src/runtime/runc/log.ts";
import { isInitramfsRoot } from "../../src/runtime/runc/runc.ts";
import { parseState, parseStates } from "../../src/runtime/runc/state.ts";

/** What runc 1.1.5 and crun 1.8.1 and 1.28 were seen to say. */
const words: readonly (readonly [text: string, code: string])[] = [
  ["runc create failed: container with given ID already exists", "CONTAINER_ALREADY_EXISTS"],
  ["container with id exists: abc", "CONTAINER_ALREADY_EXISTS"],
  ["container `try1` already exists", "CONTAINER_ALREADY_EXISTS"],
  ["container does not exist", "CONTAINER_DOES_NOT_EXIST"],
  ["exec failed: container does not exist", "CONTAINER_DOES_NOT_EXIST"],
  ['container "x" does not exist', "CONTAINER_DOES_NOT_EXIST"],
  ["error opening file `/run/crun/try1/status`: No such file or directory", "CONTAINER_DOES_NOT_EXIST"],
  ["cannot open directory `/run/crun/try1`: No such file or directory", "CONTAINER_DOES_NOT_EXIST"],
  [
    "container `try1` does not exist: open `/run/crun/try1/status`: No such file or directory",
    "CONTAINER_DOES_NOT_EXIST",
  ],
  ["runc create failed: invalid container ID format", "INVALID_CONTAINER_ID"],
  ["cannot create state directory for `try/1`", "INVALID_CONTAINER_ID"],
  ["cannot delete container try1 that is not stopped: running", "CONTAINER_NOT_STOPPED"],
  ["the container `try1` is not in `created` or `stopped` state", "CONTAINER_NOT_STOPPED"],
  ["container still running", "CONTAINER_STILL_RUNNING"],
  ["cannot start an already running container", "INVALID_STATE"],
  ["cannot start a container that has stopped", "INVALID_STATE"],
  ["cannot open `/run/crun/try1/exec.fifo`: No such file or directory", "INVALID_STATE"],
  ["container not running", "CONTAINER_NOT_RUNNING"],
  ["cannot exec in a stopped container", "CONTAINER_NOT_RUNNING"],
  ["exec failed: cannot exec a container that has stopped", "CONTAINER_NOT_RUNNING"],
  ["the container `x` is not running", "CONTAINER_NOT_RUNNING"],
  ["setrlimit `RLIMIT_NOFILE`: Operation not permitted", "RUNTIME_FAILED"],
];

for (const [msg, code] of words)
  test(`words: ${msg}`, (t) => {
    const log = `${JSON.stringify({ level: "info", msg: "container does not exist" })}\n${JSON.stringify({ level: "error", msg })}\n`;
    t.same(explainFailure(log, ""), { code, text: msg });
    t.same(explainFailure("", `${msg}\n`), { code, text: msg }, "said on stderr only");
    t.end();
  });

const START = "unable to start container process: ";

/** And when they cannot start something: runc 1.1.5 and 1.3, crun 1.8.1 and 1.28. */
const startWords: readonly (readonly [text: string, code: string])[] = [
  [`runc create failed: ${START}exec: "nonesuch": executable file not found in $PATH`, "COMMAND_NOT_FOUND"],
  [
    `runc create failed: ${START}error during container init: exec: "nonesuch": executable file not found in $PATH`,
    "COMMAND_NOT_FOUND",
  ],
  [`exec failed: ${START}exec: "/x": stat /x: no such file or directory`, "COMMAND_NOT_FOUND"],
  ["executable file `nonesuch` not found in $PATH: No such file or directory", "COMMAND_NOT_FOUND"],
  ["executable file `/nonesuch` not found: No such file or directory", "COMMAND_NOT_FOUND"],
  [`exec failed: ${START}exec: "/etc": permission denied`, "COMMAND_NOT_EXECUTABLE"],
  [`exec failed: ${START}exec: "/etc": is a directory`, "COMMAND_NOT_EXECUTABLE"],
  [`exec failed: ${START}exec: "/f/x": stat /f/x: not a directory`, "COMMAND_NOT_EXECUTABLE"],
  ["open executable: Permission denied", "COMMAND_NOT_EXECUTABLE"],
  ["open executable: Operation not permitted", "COMMAND_NOT_EXECUTABLE"],
  ["the path `/etc` is not a regular file", "COMMAND_NOT_EXECUTABLE"],
  [
    "the path `/etc/passwd` exists but it is not executable: Operation not permitted",
    "COMMAND_NOT_EXECUTABLE",
  ],
  ["open `/etc/passwd/x`: Not a directory", "COMMAND_NOT_EXECUTABLE"],
  ["exec /noformat: exec format error", "COMMAND_NOT_EXECUTABLE"],
  [`exec failed: ${START}exec /closed: permission denied`, "COMMAND_NOT_EXECUTABLE"],
  ["exec container process `/noformat`: Exec format error", "COMMAND_NOT_EXECUTABLE"],
  [
    `exec failed: ${START}chdir to cwd ("/f") set in config.json failed: not a directory`,
    "INVALID_WORKING_DIRECTORY",
  ],
  [
    `runc create failed: ${START}error during container init: mkdir /w: not a directory`,
    "INVALID_WORKING_DIRECTORY",
  ],
  ["chdir `/f`: Not a directory", "INVALID_WORKING_DIRECTORY"],
  ["chdir to `/f`: Not a directory", "INVALID_WORKING_DIRECTORY"],
  ["runc create failed: Cwd must be an absolute path", "INVALID_WORKING_DIRECTORY"],
  [`runc create failed: ${START}error during container init: mkdir /other: read-only`, "RUNTIME_FAILED"],
  [`exec failed: ${START}unable to setup user: uids and gids must be in range 0-2147483647`, "INVALID_USER"],
  // What a host calls its command or directory is no answer of the runtime.
  [
    `exec failed: ${START}exec: "container does not exist": executable file not found in $PATH`,
    "COMMAND_NOT_FOUND",
  ],
  [
    `exec failed: ${START}exec: "a\\": executable file not found": permission denied`,
    "COMMAND_NOT_EXECUTABLE",
  ],
  [`exec failed: ${START}exec: "container with id exists": permission denied`, "COMMAND_NOT_EXECUTABLE"],
  ["executable file `container with id exists` not found in $PATH", "COMMAND_NOT_FOUND"],
];

for (const [msg, code] of startWords)
  test(`words of a start: ${msg}`, (t) => {
    const log = `${JSON.stringify({ level: "error", msg })}\n`;
    t.same(explainFailure(log, "", { command: "x", workingDirectory: "/w/x" }), { code, text: msg });
    t.end();
  });

test("a log is read leniently", (t) => {
  t.same(
    parseLogErrors(
      '{"level":"fatal","msg":"one"}\nno json\n{"level":"warning","msg":"x"}\n[]\n{"level":"error"}\n{"level":"error","msg":"two"}\n{"level":"err',
    ),
    ["one", "two"],
  );
  const several =
    '{\n  "msg": "one {\\n}",\n  "level": "error"\n}\n{"level":"error","msg":"two"}\n{\n  "level": "error",\n  "msg": "three"\n}\n{\n  "le';
  t.same(parseLogErrors(several), ["one {\n}", "two", "three"], "as crun 1.28 writes them");
  t.same(explainFailure("", ""), { code: "RUNTIME_FAILED", text: "it gave no reason" });
  t.equal(explainFailure("", "x".repeat(10_000)).text.length, 2000);
  t.end();
});

test("states are read from runc's and crun's words", (t) => {
  const bundle = t.testdir({ "config.json": JSON.stringify({ root: { path: "rootfs" } }) });
  const runc = {
    id: "a",
    pid: 5,
    status: "running",
    bundle,
    rootfs: `${bundle}/r`,
    created: "2026-11-22T03:13:51Z",
  };
  t.same(parseState(JSON.stringify({ ociVersion: "1.0.2", ...runc, owner: "" })), runc);
  t.equal(parseState(JSON.stringify({ ...runc, rootfs: "rootfs" })).rootfs, `${bundle}/rootfs`);
  t.same(parseStates("null"), []);
  t.same(parseStates("[\n\n]\n"), []);
  const { rootfs: _, ...listed } = runc;
  t.equal(parseStates(JSON.stringify([listed]))[0]?.rootfs, `${bundle}/rootfs`);
  t.equal(parseStates(JSON.stringify([{ ...listed, bundle: "/nowhere" }]))[0]?.rootfs, "");
  for (const text of ["", "{}", "[]", "null", '{"id":1}'])
    t.throws(() => parseState(text), { code: "RUNTIME_FAILED" });
  for (const text of ["{}", "[1]"]) t.throws(() => parseStates(text), { code: "RUNTIME_FAILED" });
  t.end();
});

test("a bundle tells what we need", (t) => {
  const read = (spec: unknown) => readBundle(t.testdir({ "config.json": JSON.stringify(spec) }));
  t.match(read({}), {
    terminal: false,
    ownsPidNamespace: false,
    cgroupsPath: undefined,
    hasPoststartHooks: false,
  });
  t.match(read({}).rootfs, /\/rootfs$/);
  const namespaces = [{ type: "pid" }, { type: "mount" }];
  t.match(
    read({
      process: { terminal: true, consoleSize: { height: 1, width: 2 } },
      root: { path: "/abs" },
      linux: { namespaces, cgroupsPath: "/pods/x" },
      hooks: { poststart: [{ path: "/bin/true" }] },
    }),
    {
      rootfs: "/abs",
      terminal: true,
      consoleSize: { height: 1, width: 2 },
      ownsPidNamespace: true,
      cgroupsPath: "/pods/x",
      hasPoststartHooks: true,
    },
  );
  t.equal(read({ linux: { namespaces: [{ type: "pid", path: "/proc/1/ns/pid" }] } }).ownsPidNamespace, false);
  t.equal(read({ linux: { cgroupsPath: "system.slice:runc:x", namespaces: "odd" } }).cgroupsPath, undefined);
  t.match(bundleOf("/nowhere", { process: { args: ["/bin/x", "y"], cwd: "/d" }, root: { path: "r" } }), {
    path: "/nowhere",
    rootfs: "/nowhere/r",
    starts: { command: "/bin/x", workingDirectory: "/d" },
  });
  for (const spec of [null, 5, "text"]) t.throws(() => read(spec), { code: "RUNTIME_FAILED" });
  t.end();
});

test("pivot_root is left out on an initramfs only", (t) => {
  const rootfs = "1 1 0:2 / / rw - rootfs rootfs rw,size=1k\n";
  const disk = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";
  const proc = "23 22 0:21 / /proc rw - proc proc rw\n";
  t.equal(isInitramfsRoot(rootfs + proc), true);
  t.equal(isInitramfsRoot(rootfs + disk + proc), false);
  t.equal(isInitramfsRoot(disk + proc), false);
  t.equal(isInitramfsRoot("9 22 0:2 / /mnt rw - rootfs rootfs rw\n"), false);
  t.end();
});

test("only runtimes that are known to have it have an exec FIFO", (t) => {
  t.same(findExecFifo("/usr/bin/runc", undefined, "x"), { path: "/run/runc/x/exec.fifo", startReads: true });
  t.same(findExecFifo("crun", "/s", "x"), { path: "/s/x/exec.fifo", startReads: false });
  t.equal(findExecFifo("kata-runtime", "/s", "x"), undefined);
  t.end();
});

test("what a person is told of a failure: the runtime's name and verb once, and no word of its insides", (t) => {
  const start = `runc create failed: ${START}`;
  t.equal(plainWords(`${start}exec: "x": no such file`), `${START}exec: "x": no such file`);
  t.equal(plainWords("exec failed: container does not exist"), "container does not exist");
  t.equal(plainWords("container does not exist"), "container does not exist");
  t.match(
    plainWords(`${start}unable to setup user: uids and gids must be in range 0-2147483647`),
    /^the runtime takes user and group ids from 0 to 2147483647/,
  );
  t.match(
    plainWords(`${start}unable to setup user: unable to find user 0: bufio.Scanner: token too long`),
    /^the container's \/etc\/passwd has a line of 65536 bytes or more, which the runtime does not read$/,
  );
  t.end();
});
