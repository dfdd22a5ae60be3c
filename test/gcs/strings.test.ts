/** Names and texts of a request that Linux, or a runtime, could not take as they are. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { detectCgroupLayout } from "../../src/linux/cgroups/layout.ts";
import { encodeFrame } from "../../src/protocol/frame.ts";
import { HResult, toSigned } from "../../src/protocol/hresult.ts";
import { requestTypeOf } from "../../src/protocol/messages.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";

const code = (name: keyof typeof HResult) => toSigned(HResult[name]);

await t.test("names and texts", { timeout: 180_000 }, async (t) => {
  const { agent, host } = await startGuest(t);
  await host.negotiate();
  const bundle = (id: string) => `${agent.directory}/c/${id}`;
  const pid = await runSleeper(host, "plain", bundle("plain"));

  await t.test("an id that is a file of a cgroup directory", async (t) => {
    // Whatever the kernel of this machine has in the containers' parent, and what others have.
    const files = detectCgroupLayout()
      .mounts.map(({ mountPoint }) => mountPoint + agent.cgroupParent)
      .filter((directory) => existsSync(directory))
      .flatMap((directory) => readdirSync(directory, { withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);
    t.ok(files.includes("tasks") || files.includes("cgroup.events"));
    const some = ["cgroup.procs", "cpuset.cpus", "memory.max", "notify_on_release", "release_agent", "tasks"];
    const ids = new Set([...some, files.find((name) => name.startsWith("pids.")) ?? "pids.max", "my.web"]);
    for (const id of ids) {
      const first = await runSleeper(host, id, bundle(id));
      t.match(
        readFileSync(`/proc/${first}/cgroup`, "utf8"),
        new RegExp(`${agent.cgroupParent}/${id}~$`, "m"),
      );
      const exec = await host.request("ExecuteProcess", executeBody(id, execParameters(["/bin/true"])));
      t.equal(exec.Result, 0, id);
      const query = { ContainerId: id, Query: '{"PropertyTypes":["Statistics"]}' };
      t.match(await host.request("GetProperties", query), { Result: 0 }, `${id} has statistics of its own`);
    }
    for (const id of ids) {
      t.equal((await host.request("ShutdownForced", { ContainerId: id })).Result, 0);
      await host.take(
        ({ body }) => body.ContainerId === id && body.Type === "ForcedExit",
        `the exit of ${id}`,
      );
      t.equal((await host.request("DeleteContainerState", { ContainerId: id })).Result, 0);
    }
    const left = detectCgroupLayout()
      .mounts.map(({ mountPoint }) => mountPoint + agent.cgroupParent)
      .filter((directory) => existsSync(directory))
      .flatMap((directory) => readdirSync(directory, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory());
    t.same([...new Set(left.map(({ name }) => name))], ["plain"], "no cgroup is left");
    t.match(readFileSync(`/proc/${pid}/cgroup`, "utf8"), new RegExp(`${agent.cgroupParent}/plain$`, "m"));
  });

  await t.test("host names", async (t) => {
    const create = (id: string, extra: object) =>
      host.request("Create", createBody(id, bundle(id), { extra: { ...extra } }));
    for (const hostname of ["x".repeat(65), `${"a.".repeat(40)}b`, "a b", "a\nb", "ä", "-".repeat(256)]) {
      const reply = await create("h", { hostname });
      t.match(reply, { Result: code("INVALID_ARGUMENT"), ErrorMessage: /^host name ".*64 of letters/s });
    }
    t.match(await create("h", { domainname: "x".repeat(65) }), { Result: code("INVALID_ARGUMENT") });
    t.equal((await create("h", { hostname: "x".repeat(64) })).Result, 0, "the longest");
    t.equal((await host.request("ShutdownForced", { ContainerId: "h" })).Result, 0);
    t.equal((await host.request("DeleteContainerState", { ContainerId: "h" })).Result, 0);
  });

  await t.test("what is no text for Linux", async (t) => {
    for (const [bad, words] of [
      ["a\0b", /holds a NUL character/],
      ["a\ud800b", /holds half of a surrogate pair/],
    ] as const) {
      const processes: object[] = [
        { args: ["/bin/echo", bad] },
        { env: [`X=${bad}`] },
        { cwd: `/${bad}` },
        { user: { username: bad } },
        { user: { additionalGroups: [bad] } },
        { unknown: { to: ["us", bad] } },
      ];
      for (const process of processes) {
        const [field = ""] = Object.keys(process);
        const OciProcess = { args: ["/bin/true"], cwd: "/", env: [], ...process };
        const reply = await host.request("ExecuteProcess", executeBody("plain", { OciProcess }));
        t.match(reply, { Result: code("INVALID_ARGUMENT"), ErrorMessage: words }, field);
        t.match(reply.ErrorMessage, `OciProcess.${field}`, "and it says where");
      }
      for (const more of [{ CommandArgs: ["/bin/echo", bad] }, { Environment: { [bad]: "x" } }]) {
        const reply = await host.request(
          "ExecuteProcess",
          executeBody(UVM, { CommandArgs: ["/bin/true"], ...more }),
        );
        t.match(reply, { Result: code("INVALID_ARGUMENT"), ErrorMessage: words });
      }
      const extra = { mounts: [{ destination: "/x", type: "bind", source: `/${bad}`, options: ["bind"] }] };
      const made = await host.request("Create", createBody("m", bundle("m"), { extra }));
      t.match(made, { Result: code("INVALID_ARGUMENT"), ErrorMessage: words });
    }
  });

  await t.test("bytes that are no UTF-8 are refused, not replaced", async (t) => {
    const text = JSON.stringify({
      ...executeBody("plain", execParameters(["/bin/echo", "\u{fffd}"])),
      ActivityId: "a7",
    });
    const [before = "", after = ""] = text.split("\u{fffd}");
    let id = 70_000n;
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      const body = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]);
      host.bridge.write(encodeFrame(requestTypeOf("ExecuteProcess"), ++id, body));
      const reply = await host.reply("ExecuteProcess", id);
      t.match(reply.body, { Result: code("INVALID_JSON"), ErrorMessage: /not UTF-8/, ActivityId: "a7" });
    }
    host.send(requestTypeOf("ExecuteProcess"), ++id, text);
    t.equal(
      (await host.reply("ExecuteProcess", id)).body.Result,
      0,
      "a replacement character is one like others",
    );
  });
});
