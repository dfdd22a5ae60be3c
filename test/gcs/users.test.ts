/** Whom a process runs as, and what a container's own files can do to the agent that reads them. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import t, { type Test } from "tap";
import { mount, unmount, unmountFlags } from "../../src/linux/libc.ts";
import { HResult, toSigned } from "../../src/protocol/hresult.ts";
import { startAgent } from "../helpers/agent.ts";
import { createBody, executeBody, runSleeper } from "../helpers/gcs-requests.ts";
import { RawHost } from "../helpers/raw-host.ts";
import { copyRootfs } from "../helpers/rootfs.ts";

const code = (name: keyof typeof HResult) => toSigned(HResult[name]);

const PASSWD = `root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
alice:x:1500:1600:Alice:/:/bin/sh
1000:x:0:0:a name that is a number:/:/bin/sh
hex:x:abc:0::/:
empty:x:::::
+::::::
+nis:x:0:0::/:
-minus:x:0:0::/:
plus:x:+7:0::/:
negative:x:-5:0::/:
large:x:4294967296:0::/:
none:x:4294967295:0::/:
point:x:1.5:0::/:
sixteen:x:0x10:0::/:
thousand:x:1e3:0::/:
nogid:x:1501:abc::/:
short:x:1502
jörg:x:1503:1503::/:
long:x:1504:1504:${"x".repeat(5000)}:/:/bin/sh
twice:x:oops:0::/:
twice:x:1505:1505::/:
`;
const GROUP = `root:x:0:
alice:x:1600:
audio:x:29:alice,nobody
44:x:0:
43:x:abc:
video:x:45:alice
odd:x:abc:alice
far:x:4294967296:alice
nolist:x:46
`;

await t.test("users of a container", { timeout: 180_000 }, async (t) => {
  const agent = startAgent();
  const host = new RawHost(agent.prefix);
  await host.accept();
  await host.negotiate();
  const rootfs = copyRootfs(`${agent.directory}/root`);
  // Users other than root look for their programs in it.
  chmodSync(rootfs, 0o755);
  const etc = (name: string) => `${rootfs}/etc/${name}`;
  const reset = () => {
    for (const name of ["passwd", "group"]) rmSync(etc(name), { recursive: true, force: true });
    writeFileSync(etc("passwd"), PASSWD);
    writeFileSync(etc("group"), GROUP);
  };
  reset();
  await runSleeper(host, "c", `${agent.directory}/c`, rootfs);
  t.teardown(async () => {
    await host.close();
    await agent.stop();
  });

  const exec = (user: unknown) =>
    host.request(
      "ExecuteProcess",
      executeBody("c", {
        OciProcess: { args: ["/bin/sleep", "1000"], cwd: "/", env: ["PATH=/bin"], user },
      }),
    );
  const kill = (pid: unknown, ContainerId = "c") =>
    host.request("SignalProcess", { ContainerId, ProcessId: pid });
  /** "uid gid groups" of a process, or the refusal. */
  const ids = async (reply: Record<string, unknown>, owner = "c"): Promise<string> => {
    if (reply.Result !== 0) return `${reply.Result} ${reply.ErrorMessage}`;
    const status = readFileSync(`/proc/${reply.ProcessId}/status`, "utf8");
    const of = (field: string) => new RegExp(`^${field}:\\t(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
    await kill(reply.ProcessId, owner);
    return `${of("Uid").split("\t")[0]} ${of("Gid").split("\t")[0]} ${of("Groups")}`;
  };
  const as = async (username: string, more: object = {}) => ids(await exec({ username, ...more }));
  const refused = async (t: Test, user: unknown, words: RegExp, result = code("INVALID_ARGUMENT")) => {
    const reply = await exec(user);
    t.match(reply, { Result: result, ErrorMessage: words }, JSON.stringify(user)?.slice(0, 80));
    t.notMatch(reply.ErrorMessage, /json|unmarshal|\n/i, "in the agent's own words");
  };

  await t.test("a number is a number, and a name is looked up", async (t) => {
    t.equal(await as("alice"), "1500 1600 29 45 1600");
    t.equal(await as("1500"), "1500 1600 29 45 1600", "a number has the groups of its entry");
    t.equal(await as("1000"), "1000 0 0", "not the user whose name is 1000");
    t.equal(await as("1000:1000"), "1000 1000 1000");
    t.equal(await as("1000:44"), "1000 44 ", "not the group whose name is 44");
    t.equal(await as("alice:44"), "1500 44 ");
    t.equal(await as("alice:audio"), "1500 29 29", "a group that is named stands alone");
    t.equal(await as("7:video"), "7 45 45");
    t.equal(await as("nobody:nolist"), "65534 46 46");
    t.equal(await as("jörg"), "1503 1503 1503");
    t.equal(await as("twice"), "1505 1505 1505", "an entry that is none does not hide one");
    t.equal(await as("0010"), "10 0 0", "decimal");
    t.equal(await as("2147483647"), "2147483647 0 0", "the highest that runc takes");
  });

  await t.test("groups that are asked for", async (t) => {
    t.equal(await as("alice", { additionalGids: [7] }), "1500 1600 7", "what a host says wins");
    t.equal(await as("alice", { additionalGroups: ["nolist", "99"] }), "1500 1600 29 45 46 99 1600");
    t.equal(await ids(await exec({ uid: 5, gid: 6, additionalGroups: ["audio"] })), "5 6 6 29");
    t.equal(await as("alice", { additionalGids: [7], additionalGroups: ["8"] }), "1500 1600 7 8");
    for (const more of [{ additionalGroups: ["44"] }, { additionalGids: [44] }, { additionalGids: [43] }])
      await refused(
        t,
        { username: "alice", ...more },
        /group 4[34] cannot be given.*names another group "4[34]"/,
      );
    t.equal(await ids(await exec({ uid: 5, gid: 6 })), "5 6 ", "numbers alone are left as they are");
    await refused(t, { uid: 1, gid: 1, additionalGroups: ["nonesuch"] }, /group "nonesuch" is not in/);
    await refused(t, { uid: 1, gid: 1, additionalGroups: ["-1"] }, /group "-1" is not a whole number/);
  });

  await t.test("in a container whose user has a name, nobody in particular is that user", async (t) => {
    const body = createBody("named", `${agent.directory}/named`, { args: ["/bin/sleep", "1000"], rootfs });
    const config = JSON.parse(String(body.ContainerConfig));
    config.OciSpecification.process.user = { username: "alice" };
    t.match(await host.request("Create", { ...body, ContainerConfig: JSON.stringify(config) }), {
      Result: 0,
    });
    await host.request("ExecuteProcess", executeBody("named"));
    const run = async (user: unknown) => {
      const process = { args: ["/bin/sleep", "1000"], cwd: "/", env: ["PATH=/bin"], user };
      const started = await host.request("ExecuteProcess", executeBody("named", { OciProcess: process }));
      return ids(started, "named");
    };
    const alice = "1500 1600 29 45 1600";
    t.equal(await run({ uid: 0, gid: 0 }), alice, "what hosts send for it");
    t.equal(await run(undefined), alice);
    t.equal(await run({ username: "0" }), "0 0 0", "root is asked for");
    t.equal(await run({ username: "root" }), "0 0 0");
    t.equal(await run({ uid: 7, gid: 8 }), "7 8 ");
    t.equal(await ids(await exec({ uid: 0, gid: 0 })), "0 0 ", "in any other container zero is root");
  });

  await t.test("what is no user", async (t) => {
    const names = "hex empty + +nis -minus plus negative large none point sixteen thousand nogid short long";
    for (const name of [...names.split(" "), "0x10", "1e3", "nonesuch", "ALICE"])
      await refused(t, { username: name }, /user ".*" is not in the container's \/etc\/passwd/);
    for (const number of ["-5", "+7", "1.5", "4294967295", "4294967296", "99999999999999999999999"])
      await refused(t, { username: number }, /user ".*" is not a whole number from 0 to 4294967294/);
    for (const group of ["odd", "far", "nonesuch", "0x10"])
      await refused(t, { username: `alice:${group}` }, /group ".*" is not in the container's \/etc\/group/);
    await refused(t, { username: "alice:-1" }, /group "-1" is not a whole number/);
    for (const text of [":", "alice:", ":audio", "a:b:c", "::"])
      await refused(t, { username: text }, /is not USER or USER:GROUP/);
    for (const uid of [-5, 2 ** 32 - 1, 2 ** 32, 1.5]) {
      await refused(t, { uid, gid: 0 }, /OciProcess\.user\.uid: expected an integer from 0 to 4294967294/);
      await refused(t, { uid: 0, gid: 0, additionalGids: [uid] }, /additionalGids\[0\]: expected an integer/);
    }
    const made = await host.request(
      "Create",
      createBody("d", `${agent.directory}/d`, {
        rootfs,
        extra: { process: { args: ["/bin/true"], cwd: "/", user: { username: "nonesuch" } } },
      }),
    );
    t.match(made, { Result: code("INVALID_ARGUMENT"), ErrorMessage: /user "nonesuch" is not in/ });
  });

  await t.test("no passwd file at all", async (t) => {
    rmSync(etc("passwd"));
    rmSync(etc("group"));
    t.equal(await as("1000"), "1000 0 0");
    await refused(t, { username: "root" }, /user "root" is not in the container's \/etc\/passwd/);
    reset();
  });

  await t.test("links stay inside the root", async (t) => {
    const inside = "inside:x:1700:1700::/:\n";
    mkdirSync(`${rootfs}/data`, { recursive: true });
    writeFileSync(`${rootfs}/data/passwd`, inside);
    const outside = `${agent.directory}/outside`;
    writeFileSync(outside, "outside:x:0:0::/:\n");
    const link = (target: string) => {
      rmSync(etc("passwd"), { force: true });
      symlinkSync(target, etc("passwd"));
    };
    for (const target of ["/data/passwd", "../data/passwd", "../../../../data/passwd"]) {
      link(target);
      t.equal(await as("inside"), "1700 1700 1700", target);
    }
    for (const target of [outside, `../../outside`, "/proc/self/root/etc/passwd"]) {
      link(target);
      await refused(t, { username: "outside" }, /user "outside" is not in/);
    }
    link("passwd");
    await refused(t, { username: "alice" }, /\/etc\/passwd is a link in a circle/, code("INVALID_DATA"));
    reset();
  });

  await t.test("what is no regular file", async (t) => {
    const kinds: [string, (path: string) => unknown][] = [
      ["a FIFO", (path) => execFileSync("mkfifo", [path])],
      ["a directory", (path) => mkdirSync(path)],
      ["a character device", (path) => execFileSync("mknod", [path, "c", "1", "5"])],
    ];
    for (const [what, make] of kinds) {
      for (const name of ["passwd", "group"]) {
        rmSync(etc(name));
        make(etc(name));
        const words = new RegExp(`the container's /etc/${name} is ${what}, not a regular file`);
        // More at once than the process has threads of its own for files.
        const users = ["alice", "1500", "1000:1000", "alice:audio", "nonesuch", "root", "2:video", "0"];
        await Promise.all(users.map((user) => refused(t, { username: user }, words, code("INVALID_DATA"))));
        await refused(t, { uid: 1, gid: 1 }, words, code("INVALID_DATA"));
        reset();
      }
    }
    t.equal(await as("alice"), "1500 1600 29 45 1600", "and all is well again");
  });

  await t.test("a file of 400 MB", async (t) => {
    const memory = () =>
      Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${agent.pid}/status`, "utf8"))?.[1]);
    const before = memory();
    const words = /\/etc\/passwd has 419430400 bytes; at most 1048576 are read/;
    truncateSync(etc("passwd"), 400 * 1024 * 1024);
    const all = ["alice", "nobody", "root:audio"].map((username) =>
      refused(t, { username }, words, code("INVALID_DATA")),
    );
    // Who needs nothing of it: the runtime would read it all the same.
    const left =
      /the container's \/etc\/passwd has 419430400 bytes; at most 1048576 are read, and at most 16777216 by the runtime/;
    for (const user of [undefined, { username: "1000:1000" }, { username: "1500" }, { uid: 0, gid: 0 }])
      all.push(refused(t, user, left, code("INVALID_DATA")));
    await Promise.all(all);
    t.ok(memory() - before < 64 * 1024, "the agent does not hold it");
    // As lines the runtime can read them, and a number needs nothing of it.
    reset();
    writeFileSync(etc("passwd"), PASSWD + "filler:x:9:9::/:\n".repeat(100_000));
    t.equal(await as("1000:1000"), "1000 1000 1000");
    t.equal(await as("1500"), "1500 0 0", "without the groups that cannot be known");
    t.match(agent.log(), /a user's groups are unknown/);
    reset();
    writeFileSync(etc("passwd"), `${PASSWD}longest:x:9:9:${"x".repeat(70_000)}:/:\n`);
    const line = /the user cannot be used: .*\/etc\/passwd has a line of 65536 bytes or more/;
    // runc from 1.3 on, and crun, take it.
    const long = await exec({ uid: 77, gid: 77 });
    if (long.Result === 0) t.equal(await ids(long), "77 77 ");
    else t.match(long, { Result: code("FAIL"), ErrorMessage: line });
    reset();
  });

  await t.test("a file system that does not answer", async (t) => {
    const directory = `${agent.directory}/hung`;
    mkdirSync(directory);
    const fuse = openSync("/dev/fuse", "r+");
    await mount("hung", directory, "fuse", 0, `fd=${fuse},rootmode=40000,user_id=0,group_id=0`);
    try {
      const hung = Array.from({ length: 6 }, (_, index) =>
        host.request(
          "Create",
          createBody(`h${index}`, `${agent.directory}/h${index}`, { rootfs: directory }),
        ),
      );
      t.equal(await as("alice"), "1500 1600 29 45 1600", "others are served meanwhile");
      for (const reply of await Promise.all(hung))
        t.match(reply, { Result: code("FAIL"), ErrorMessage: /\/etc\/(passwd|group).*does not answer/ });
    } finally {
      closeSync(fuse);
      await unmount(directory, unmountFlags.detach);
    }
    t.equal(await as("alice"), "1500 1600 29 45 1600");
  });
});
