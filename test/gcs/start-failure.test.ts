/** What a host is told of a process that could not be started, and what becomes of its container. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import t from "tap";
import type { ErrorCode } from "../../src/common/errors.ts";
import { errorFromResponse, HResult, toSigned } from "../../src/protocol/hresult.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";
import { copyRootfs } from "../helpers/rootfs.ts";

const code = (name: keyof typeof HResult) => toSigned(HResult[name]);
/** A frame of JavaScript, or a line of its own. */
const TRACE = /\n|\.ts:\d|file:\/\//;

const STRANGER = { uid: 1000, gid: 1000 };

/** The head of one that wants a dynamic linker. */
function dynamicProgram(linker: string): Buffer {
  const made = Buffer.alloc(512);
  made.set(Buffer.from("\x7fELF\x02\x01\x01", "latin1"));
  made.writeUInt16LE(3, 16);
  made.writeUInt16LE(process.arch === "x64" ? 62 : 183, 18);
  made.writeBigUInt64LE(64n, 32);
  made.writeUInt16LE(56, 54);
  made.writeUInt16LE(1, 56);
  made.writeUInt32LE(3, 64);
  made.writeBigUInt64LE(200n, 64 + 8);
  made.writeBigUInt64LE(BigInt(linker.length + 1), 64 + 32);
  made.write(linker, 200);
  return made;
}

/** @param make default an empty file */
function replace(path: string, make = (at: string): unknown => writeFileSync(at, "")): void {
  rmSync(path, { recursive: true, force: true });
  make(path);
}

await t.test("processes that cannot be started", { timeout: 180_000 }, async (t) => {
  const { agent, host } = await startGuest(t);
  await host.negotiate();
  const rootfs = copyRootfs(`${agent.directory}/root`);
  chmodSync(rootfs, 0o755);
  writeFileSync(`${rootfs}/plain`, "x");
  // Made as the kernel would have to run them: with the permission, and with nothing that it can run.
  const busybox = readFileSync(`${rootfs}/bin/busybox`);
  const foreign = Buffer.from(busybox);
  foreign.writeUInt16LE(8, 18);
  const programs: Record<string, Buffer | string> = {
    text: "only text\n",
    empty: "",
    cut: busybox.subarray(0, 40),
    foreign,
    unlinked: dynamicProgram("/lib/nonesuch.so"),
    script: "#! /bin/nonesuch -x\n",
    nameless: "#!\n",
    circle: "#!/circle\n",
    first: "#!/script\n",
    wraps: "#!/text\n",
    useless: "#!/plain\n",
    directory: "#!/bin\n",
    queue: "#!/fifo\n",
    linked: dynamicProgram("/plain"),
    scripted: dynamicProgram("/good"),
    deep: "#!/good\n",
    owners: "#!/own/sh\n",
    ownersLinked: dynamicProgram("/own/sh"),
    notOwners: "#!/own/ours\n",
    good: "#!/bin/sh -e\nexit 0\n",
  };
  for (const [name, content] of Object.entries(programs))
    writeFileSync(`${rootfs}/${name}`, content, { mode: 0o755 });
  mkdirSync(`${rootfs}/own`);
  for (const [name, mode] of [
    ["sh", 0o700],
    ["ours", 0o655],
  ] as const)
    writeFileSync(`${rootfs}/own/${name}`, busybox, { mode });
  symlinkSync("loop", `${rootfs}/loop`);
  execFileSync("mkfifo", ["-m", "755", `${rootfs}/fifo`]);
  execFileSync("mknod", ["-m", "755", `${rootfs}/device`, "c", "1", "3"]);
  const bundle = (id: string) => `${agent.directory}/c/${id}`;
  const create = (id: string, process: object = {}) =>
    host.request(
      "Create",
      createBody(id, bundle(id), {
        rootfs,
        extra: { process: { args: ["/bin/sleep", "1000"], cwd: "/", env: ["PATH=/bin"], ...process } },
      }),
    );
  const codeOf = (reply: Record<string, unknown>): ErrorCode =>
    errorFromResponse({ Result: Number(reply.Result), ErrorMessage: String(reply.ErrorMessage) }).code;
  await runSleeper(host, "c", bundle("c"), rootfs);

  const cases: [
    process: { args?: string[]; cwd?: string; user?: object; env?: string[] },
    code: ErrorCode,
    says: RegExp,
  ][] = [
    [{ args: ["nonesuch"] }, "COMMAND_NOT_FOUND", /^command "nonesuch" was not found: /],
    [{ args: ["/bin/nonesuch"] }, "COMMAND_NOT_FOUND", /^command "\/bin\/nonesuch" was not found: /],
    [{ args: ['a": b'] }, "COMMAND_NOT_FOUND", /^command "a\\": b" was not found: /],
    [{ args: [""] }, "COMMAND_NOT_FOUND", /^command "" was not found: /],
    [{ args: ["/bin"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/bin" cannot be executed: /],
    [{ args: ["/plain"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/plain" cannot be executed: /],
    [{ args: ["/plain/x"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/plain\/x" cannot be executed: /],
    [{ args: ["/loop"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/loop" cannot be executed: /],
    [{ args: ["/text"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/text" cannot be executed: it is no program/],
    [
      { args: ["/empty"] },
      "COMMAND_NOT_EXECUTABLE",
      /^command "\/empty" cannot be executed: it is no program/,
    ],
    [
      { args: ["text"], env: ["PATH=/none:/"] },
      "COMMAND_NOT_EXECUTABLE",
      /^command "text" cannot be executed/,
    ],
    [{ args: ["./text"], cwd: "/" }, "COMMAND_NOT_EXECUTABLE", /^command ".\/text" cannot be executed/],
    [{ args: ["/cut"] }, "COMMAND_NOT_EXECUTABLE", /cannot be executed: it is an ELF file, but no whole/],
    [{ args: ["/foreign"] }, "COMMAND_NOT_EXECUTABLE", /executed: it is a program for another processor/],
    [{ args: ["/unlinked"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/lib\/nonesuch.so" is not there/],
    [{ args: ["/script"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/bin\/nonesuch" is not there/],
    [{ args: ["/nameless"] }, "COMMAND_NOT_EXECUTABLE", /it names no interpreter behind #!/],
    [{ args: ["/fifo"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/fifo" cannot be executed: it is a FIFO/],
    [{ args: ["fifo"], env: ["PATH=/"] }, "COMMAND_NOT_EXECUTABLE", /cannot be executed: it is a FIFO/],
    [{ args: ["/device"] }, "COMMAND_NOT_EXECUTABLE", /cannot be executed: it is a character device/],
    [{ args: ["/circle"] }, "COMMAND_NOT_EXECUTABLE", /its interpreters are scripts without end/],
    [{ args: ["/first"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/bin\/nonesuch" is not there/],
    [{ args: ["/wraps"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/text" is no program/],
    [{ args: ["/useless"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/plain" is not executable/],
    [{ args: ["/directory"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/bin" is a directory/],
    [{ args: ["/queue"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/fifo" is a FIFO/],
    [{ args: ["/linked"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/plain" is not executable/],
    [{ args: ["/scripted"] }, "COMMAND_NOT_EXECUTABLE", /its interpreter "\/good" is no ELF file/],
    [
      { args: ["/owners"], user: STRANGER },
      "COMMAND_NOT_EXECUTABLE",
      /"\/own\/sh" is not executable for user 1000/,
    ],
    [
      { args: ["/ownersLinked"], user: STRANGER },
      "COMMAND_NOT_EXECUTABLE",
      /"\/own\/sh" is not executable for user 1000/,
    ],
    [{ args: ["/notOwners"] }, "COMMAND_NOT_EXECUTABLE", /"\/own\/ours" is not executable for user 0/],
    [
      { args: ["/own/sh"], user: STRANGER },
      "COMMAND_NOT_EXECUTABLE",
      /^command "\/own\/sh" cannot be executed: /,
    ],
    [{ args: ["/own/ours"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/own\/ours" cannot be executed: /],
    [{ cwd: "/plain" }, "INVALID_WORKING_DIRECTORY", /^working directory "\/plain" cannot be used: /],
    [{ cwd: "/plain/x" }, "INVALID_WORKING_DIRECTORY", /^working directory "\/plain\/x" cannot be used: /],
    [{ cwd: "relative" }, "INVALID_WORKING_DIRECTORY", /^working directory "relative" cannot be used: /],
    [{ user: { username: "nonesuch" } }, "INVALID_ARGUMENT", /^user "nonesuch" is not in/],
  ];

  await t.test("a container's first process: nothing is left, and the id is free", async (t) => {
    for (const [process, expected, says] of cases) {
      const reply = await create("first", process);
      t.equal(codeOf(reply), expected, JSON.stringify(process));
      t.match(reply.ErrorMessage, says);
      t.notMatch(reply.ErrorMessage, TRACE, "one line without a stack");
      t.notMatch(reply.ErrorMessage, /failed.*(create|exec) failed/, "told once");
      t.notOk(existsSync(bundle("first")));
      const body = { ContainerId: "first" };
      for (const name of ["Start", "ShutdownForced", "DeleteContainerState"] as const)
        t.equal((await host.request(name, body)).Result, code("SYSTEM_NOT_FOUND"), name);
      const exec = await host.request("ExecuteProcess", executeBody("first", execParameters(["/bin/true"])));
      t.equal(exec.Result, code("SYSTEM_NOT_FOUND"), "an exec does not become its first process");
    }
    const refused = await host.request(
      "Create",
      createBody("first", bundle("first"), {
        rootfs,
        extra: { linux: { resources: { cpu: { quota: 1 } } } },
      }),
    );
    t.not(refused.Result, 0, "limits that the kernel refuses");
    t.equal((await create("first")).Result, 0, "the id is free");
    t.equal((await host.request("DeleteContainerState", { ContainerId: "first" })).Result, 0);
  });

  await t.test("a further process: the container runs on", async (t) => {
    for (const [process, expected, says] of cases) {
      const OciProcess = { args: ["/bin/true"], cwd: "/", env: ["PATH=/bin"], ...process };
      const reply = await host.request("ExecuteProcess", executeBody("c", { OciProcess }));
      t.equal(codeOf(reply), expected, JSON.stringify(process));
      t.match(reply.ErrorMessage, says);
      t.notMatch(reply.ErrorMessage, TRACE);
      t.notMatch(reply.ErrorMessage, /failed.*(create|exec) failed/, "told once");
    }
    const fine = await host.request("ExecuteProcess", executeBody("c", execParameters(["/bin/true"])));
    t.equal(fine.Result, 0);
    for (const args of [["/good"], ["/deep"], ["sh", "-c", "exit 0"]]) {
      const reply = await host.request("ExecuteProcess", executeBody("c", execParameters(args)));
      const wait = { ContainerId: "c", ProcessId: reply.ProcessId, TimeoutInMs: 20_000 };
      t.match(await host.request("WaitForProcess", wait), { Result: 0, ExitCode: 0 }, args.join(" "));
    }
  });

  await t.test("an id beyond those of older runtimes: it runs, or is told", async (t) => {
    const user = { uid: 4_000_000_000, gid: 0 };
    const OciProcess = { args: ["/bin/sleep", "1000"], cwd: "/", env: ["PATH=/bin"], user };
    const reply = await host.request("ExecuteProcess", executeBody("c", { OciProcess }));
    const first = await create("first", { user });
    t.equal(first.Result, reply.Result, "one answer for both");
    if (reply.Result === 0) {
      // runc from 1.3 on, and crun.
      t.match(readFileSync(`/proc/${reply.ProcessId}/status`, "utf8"), /^Uid:\t4000000000\t/m);
      const signal = { ContainerId: "c", ProcessId: reply.ProcessId, Options: { Signal: 9 } };
      t.equal((await host.request("SignalProcess", signal)).Result, 0);
      t.equal((await host.request("DeleteContainerState", { ContainerId: "first" })).Result, 0);
      return;
    }
    for (const answer of [reply, first]) {
      t.equal(codeOf(answer), "INVALID_USER");
      t.match(answer.ErrorMessage, /^the user cannot be used: .*ids from 0 to 2147483647/);
    }
  });

  await t.test("an image that leaves no place for what is mounted", async (t) => {
    const broken: [what: string, make: (root: string) => void, says: RegExp][] = [
      [
        "etc-file",
        (root) => replace(`${root}/etc`),
        /\/etc is a regular file, not a directory: \/etc\/hostname/,
      ],
      [
        "etc-fifo",
        (root) => replace(`${root}/etc`, (path) => execFileSync("mkfifo", [path])),
        /\/etc is a FIFO, not a directory/,
      ],
      [
        "etc-circle",
        (root) => replace(`${root}/etc`, (path) => symlinkSync("etc", path)),
        /\/etc is a link in a circle/,
      ],
      [
        "etc-to-file",
        (root) => replace(`${root}/etc`, (path) => symlinkSync("plain", path)),
        /\/etc is a regular file, not a directory/,
      ],
      [
        "hosts-directory",
        (root) => replace(`${root}/etc/hosts`, (path) => mkdirSync(path)),
        /\/etc\/hosts is a directory: a file cannot be mounted there/,
      ],
      [
        "resolv-circle",
        (root) => replace(`${root}/etc/resolv.conf`, (path) => symlinkSync("resolv.conf", path)),
        /\/etc\/resolv.conf is a link in a circle/,
      ],
      [
        "dev-file",
        (root) => replace(`${root}/dev`),
        /\/dev is a regular file, not a directory: tmpfs cannot/,
      ],
      [
        "proc-file",
        (root) => replace(`${root}/proc`),
        /\/proc is a regular file, not a directory: proc cannot/,
      ],
      [
        "proc-link",
        (root) => replace(`${root}/proc`, (path) => symlinkSync("tmp", path)),
        /\/proc is a symbolic link: proc is mounted on a directory alone/,
      ],
    ];
    const make = (name: string, change: (root: string) => void) => {
      const root = copyRootfs(`${agent.directory}/${name}`);
      writeFileSync(`${root}/plain`, "x");
      change(root);
      return host.request("Create", createBody(name, bundle(name), { rootfs: root }));
    };
    for (const [name, change, says] of broken) {
      const reply = await make(name, change);
      t.match(reply, { Result: code("INVALID_DATA"), ErrorMessage: says }, name);
      t.match(reply.ErrorMessage, /^the container's .*; change the image$/, "in the agent's own words");
      t.notOk(existsSync(bundle(name)), "nothing is left");
    }
    // Links that lead somewhere in the root do, and what is not there is made.
    const fine: [what: string, make: (root: string) => void][] = [
      [
        "etc-link",
        (root) => {
          renameSync(`${root}/etc`, `${root}/etc2`);
          symlinkSync("/etc2", `${root}/etc`);
        },
      ],
      ["etc-dangling", (root) => replace(`${root}/etc`, (path) => symlinkSync("nonesuch", path))],
      ["no-etc", (root) => rmSync(`${root}/etc`, { recursive: true })],
      [
        "resolv-dangling",
        (root) => replace(`${root}/etc/resolv.conf`, (path) => symlinkSync("../run/none/stub", path)),
      ],
    ];
    for (const [name, change] of fine) {
      t.match(await make(name, change), { Result: 0 }, name);
      t.equal((await host.request("DeleteContainerState", { ContainerId: name })).Result, 0);
    }
  });

  await t.test("a process outside containers, with and without a terminal", async (t) => {
    const garbage = `${agent.directory}/garbage`;
    writeFileSync(garbage, "\0garbage");
    chmodSync(garbage, 0o755);
    const outside: [parameters: object, code: ErrorCode, says: RegExp][] = [
      [{ CommandArgs: ["nonesuch"] }, "COMMAND_NOT_FOUND", /^command "nonesuch" was not found/],
      [{ CommandArgs: ["/bin/nonesuch"] }, "COMMAND_NOT_FOUND", /^command "\/bin\/nonesuch" was not found/],
      [{ CommandArgs: ["/etc"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/etc" cannot be executed/],
      [{ CommandArgs: ["/etc/passwd"] }, "COMMAND_NOT_EXECUTABLE", /^command "\/etc\/passwd" cannot be/],
      [
        { CommandArgs: ["/bin/true"], WorkingDirectory: "/etc/passwd" },
        "INVALID_WORKING_DIRECTORY",
        /^working directory "\/etc\/passwd" cannot be used/,
      ],
      [
        { CommandArgs: ["/bin/true"], WorkingDirectory: "/nonesuch" },
        "INVALID_WORKING_DIRECTORY",
        /^working directory "\/nonesuch" cannot be used/,
      ],
    ];
    for (const EmulateConsole of [false, true]) {
      for (const [parameters, expected, says] of outside) {
        const reply = await host.request(
          "ExecuteProcess",
          executeBody(UVM, { ...parameters, EmulateConsole }),
        );
        t.equal(codeOf(reply), expected, `${JSON.stringify(parameters)} ${reply.ErrorMessage}`);
        t.match(reply.ErrorMessage, says);
        t.notMatch(reply.ErrorMessage, TRACE);
      }
    }
    const reply = await host.request("ExecuteProcess", executeBody(UVM, { CommandArgs: [garbage] }));
    t.equal(codeOf(reply), "COMMAND_NOT_EXECUTABLE", "no program of this kernel");
  });

  await t.test("a start that fails leaves the container stopped, with its reason", async (t) => {
    t.equal((await create("lost")).Result, 0);
    const busy = await host.request(
      "ExecuteProcess",
      executeBody("lost", { CreateStdOutPipe: true }, { StdOut: 0x40007777 }),
    );
    t.match(busy, { Result: code("FAIL"), ErrorMessage: /stdout/ }, "nobody listens on the port");
    const early = await host.request("ExecuteProcess", executeBody("lost", execParameters(["/bin/true"])));
    t.match(early, { Result: code("INVALID_STATE"), ErrorMessage: /lost is created/ }, "still created");
    // The runtime has lost what it knew of it.
    rmSync(`${agent.directory}/state/lost`, { recursive: true });
    const failed = await host.request("ExecuteProcess", executeBody("lost"));
    t.not(failed.Result, 0);
    t.notMatch(failed.ErrorMessage, TRACE);
    await host.take(({ body }) => body.ContainerId === "lost" && body.Type !== undefined, "the notification");
    for (const parameters of [{}, execParameters(["/bin/true"])]) {
      const reply = await host.request("ExecuteProcess", executeBody("lost", parameters));
      t.match(reply, {
        Result: code("INVALID_STATE"),
        ErrorMessage: /container lost is stopped; cannot .*, as it could not be started: .*does not exist/,
      });
    }
    t.equal((await host.request("Start", { ContainerId: "lost" })).Result, 0, "says nothing, as ever");
    t.equal((await host.request("ShutdownForced", { ContainerId: "lost" })).Result, code("SYSTEM_NOT_FOUND"));
    t.equal((await host.request("DeleteContainerState", { ContainerId: "lost" })).Result, 0);
    t.notOk(existsSync(bundle("lost")), "nothing is left");
    t.equal((await create("lost")).Result, 0, "the id is free");
    t.equal((await host.request("DeleteContainerState", { ContainerId: "lost" })).Result, 0);
  });
});
